#include "eval/windows.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

namespace octavo::eval {

using core::Invalid;
using core::Result;
using core::Status;

int64_t FirstTarget(const TextSpec& spec) {
  return spec.score == Score::kAll ? 1 : spec.context / 2;
}

Status CheckModels(const model::ModelConfig* baseline, const model::ModelConfig& candidate,
                   const TextSpec& spec) {
  for (const model::ModelConfig* model : {baseline, &candidate}) {
    if (model != nullptr && spec.context > model->context) {
      return Invalid(
          fmt::format("context is {}, the model has at most {}", spec.context, model->context));
    }
  }
  if (baseline != nullptr && baseline->vocab_size != candidate.vocab_size) {
    return Invalid(fmt::format(
        "the candidate has {} tokens in its vocabulary, the baseline {}: they cannot be compared",
        candidate.vocab_size, baseline->vocab_size));
  }
  return {};
}

Result<int64_t> CountWindows(const TextSpec& spec, int64_t tokens) {
  const int64_t available = tokens / spec.context;
  if (available < std::max<int64_t>(spec.chunks, 1)) {
    return Invalid(fmt::format(
        "the text has {} tokens, {} windows of {}, and {} are asked for: lower chunks or context",
        tokens, available, spec.context, std::max<int64_t>(spec.chunks, 1)));
  }
  return spec.chunks > 0 ? spec.chunks : available;
}

Status CheckFinite(std::span<const RowScore> scores, bool has_baseline) {
  for (const RowScore& score : scores) {
    const bool baseline_ok = std::isfinite(score.baseline_nll);
    const bool candidate_ok = std::isfinite(score.candidate_nll);
    if (baseline_ok && candidate_ok && std::isfinite(score.kld)) continue;
    const char* whose = !candidate_ok ? "the candidate" : "one of the models";
    if (has_baseline && !baseline_ok) whose = "the baseline";
    return Invalid(fmt::format(
        "the logits of {} are not finite numbers: its weights are damaged or out of range", whose));
  }
  return {};
}

}  // namespace octavo::eval
