// Metric paths: how a policy names numbers of an evaluation, and what an evaluation says about
// them.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/json.h"
#include "core/result.h"
#include "stats/interval.h"

namespace octavo::eval {

struct Measurement {
  std::string metric;  // with [*] replaced by the name it met
  double value = 0;
  std::optional<stats::Interval> interval;
  bool sampled = false;  // an estimate from a sample: without an interval it decides nothing
};

// The numbers that `path` names in an evaluation document, at least one.
//   perplexity[wikitext2].ratio   a field of the list entry of that name
//   divergence[*].mean_kld        of every entry
//   memory.candidate.weights_bytes
//   memory.weights_ratio, memory.peak_rss_ratio, speed.prefill_ratio, speed.decode_ratio
//                                 candidate over baseline, computed when the document does not have
//                                 it
// The interval is the field's sibling NAME_ci95, carried to `confidence`. A path that leads
// nowhere, to null or to something else than a number is an Error that says what is there instead.
core::Result<std::vector<Measurement>> Measure(const core::Json& evaluation, std::string_view path,
                                               double confidence);

// For paths such as tasks[piqa].acc: how many points (hundredths) the candidate lies below the
// baseline, negative when it is better; the interval comes from `difference_ci95`, which is about
// `acc`.
core::Result<std::vector<Measurement>> MeasureDrop(const core::Json& evaluation,
                                                   std::string_view path, double confidence);

}  // namespace octavo::eval
