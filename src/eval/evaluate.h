// The evaluation: a candidate measured against its baseline, as the one JSON document that gates
// and registries read.
#pragma once

#include <optional>
#include <string>

#include "core/json.h"
#include "core/progress.h"
#include "core/result.h"
#include "engine/engine.h"
#include "engine/hidden_states.h"
#include "eval/suite.h"

namespace octavo::eval {

struct EvalOptions {
  int threads = 0;                                // 0: one for each core
  model::Compute compute = model::Compute::kF32;  // of the candidate
  model::KvType kv = model::KvType::kF32;         // of the candidate
  // Block by block, even if both models fit into memory, and where the hidden states of all windows
  // are kept then.
  bool stream = false;
  engine::HiddenStatesOptions hidden = {};
};

// Evaluates the model folder `candidate_dir` against `baseline_dir` (or alone, when there is none:
// then every field about a baseline is null and there is no divergence). Quality is measured
// against the exact baseline: weights as stored, f32 compute and KV, on the same tokens, both
// models loaded at once; speed against the baseline in the candidate's modes. The document is
// described in docs/verdict.md; speed and memory are null where the suite leaves them out.
// Cancelled, it holds what was measured so far and says `complete: false`; such a document passes
// no gate. Models that do not fit into the memory that is available run block by block, each over
// all windows, with the same numbers; then nothing is generated, speed is null and peak_rss_bytes
// too, because no model was ever whole. Errors: a folder whose files do not match its octavo.json,
// models or tokenizers that do not fit together, files that cannot be read, texts shorter than
// asked for.
core::Result<core::Json> Evaluate(const std::string& candidate_dir,
                                  const std::optional<std::string>& baseline_dir,
                                  const Suite& suite, const EvalOptions& options,
                                  core::Progress& progress, const core::CancelToken& cancel);

}  // namespace octavo::eval
