// How fast an engine reads prompts and writes tokens, beside what the machine allows.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "core/json.h"
#include "core/progress.h"
#include "core/result.h"
#include "engine/engine.h"
#include "kernels/machine_limits.h"

namespace octavo::cli {

struct SpeedOptions {
  int64_t prefill = 512;  // tokens of each prompt; 0: not measured
  int64_t prompts = 1;    // read side by side
  int64_t decode = 64;    // tokens written by each sequence
  int64_t context = 128;  // tokens before them
  std::vector<int64_t> batches = {1};
};

// Positions of KV memory that the measurement takes.
int64_t KvTokensFor(const SpeedOptions& options);

// The arrays "prefill" and "decode" of the bench document. Medians of three rounds after one that
// warms up. A limit of memory is that of a buffer as large as what a step reads, where that is
// faster than main memory (the weights fit the last cache). A fraction above 1.02 means that the
// machine changed while it was measured, and is an Error. Without `limits` fractions are null.
core::Result<core::Json> MeasureSpeed(engine::Engine& engine, const SpeedOptions& options,
                                      const std::optional<kernels::MachineLimits>& limits,
                                      core::Progress& progress, const core::CancelToken& cancel);

}  // namespace octavo::cli
