// From an evaluation and a policy to a channel: the gate first, then the registry.
#pragma once

#include <optional>
#include <string>

#include "core/json.h"
#include "core/progress.h"
#include "core/result.h"
#include "eval/gate.h"
#include "registry/registry.h"

namespace octavo::workflow {

struct Judgement {
  core::Json evaluation;
  eval::Policy policy;
  eval::GateReport report;
};

// The policy in that file, or octavo's own without one.
core::Result<eval::Policy> PolicyOf(const std::optional<std::string>& policy_toml);

// Judges the evaluation in `eval_json` by the policy file, or octavo's own policy without one.
core::Result<Judgement> Judge(const std::string& eval_json,
                              const std::optional<std::string>& policy_toml);

// Puts the artifact into the store at `home` and switches `channel` to it. The registry refuses
// what the gate did not pass.
core::Result<registry::HistoryEntry> Promote(const Judgement& judgement,
                                             const std::string& artifact_dir,
                                             const std::string& channel, const std::string& home,
                                             core::Progress& progress);

}  // namespace octavo::workflow
