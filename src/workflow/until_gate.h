// quantize --until-gate: the precision of the most sensitive layers is raised until an evaluation
// passes a policy, or nothing is left to raise.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "compress/quantize.h"
#include "core/json.h"
#include "core/progress.h"
#include "core/result.h"
#include "eval/gate.h"

namespace octavo::workflow {

struct UntilGateOptions {
  compress::QuantizeOptions quantize;
  std::string suite;   // a suite file (eval/suite.h)
  std::string policy;  // a policy file; empty: the default policy
};

struct UntilGateResult {
  compress::QuantizeSummary summary;
  eval::Verdict verdict = eval::Verdict::kFail;
  std::vector<std::string> raised;  // "block 3 down: 16", most sensitive first
  int64_t attempts = 0;
  core::Json evaluation;  // of the last attempt
};

// Quantizes, evaluates and judges; while the gate stays closed, the groups that cost the model most
// for a bit saved go to more bits (4-bit ones to w8a16, others to 16), twice as many each time:
// 2, 4, 8, ... `out_dir` holds the last attempt; its verdict says whether that passes. A gate that
// is undecided for want of data is not raised against: that is returned as it is. Errors as those
// of Quantize, Evaluate and CheckGate.
core::Result<UntilGateResult> QuantizeUntilGate(const std::string& model_dir,
                                                const std::string& out_dir,
                                                const UntilGateOptions& options,
                                                core::Progress& progress,
                                                const core::CancelToken& cancel);

}  // namespace octavo::workflow
