// A model run over samples block by block with observers on its tap: ranges of each linear layer's
// input, and, for the traffic check, numbers of each sample.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "compress/observer.h"
#include "compress/traffic_check.h"
#include "core/progress.h"
#include "core/result.h"
#include "core/thread_pool.h"
#include "engine/hidden_states.h"
#include "model/linear.h"

namespace octavo::compress {

struct ObserveOptions {
  model::Compute compute = model::Compute::kF32;
  bool samples = false;  // also fill Observation::samples
  engine::HiddenStatesOptions states;
};

struct Observation {
  // In the order in which the model computes them: per block q/k/v, o, gate/up, down; then lm_head.
  std::vector<InputRanges> ranges;
  std::vector<PromptActivations> samples;  // one a sample
};

// `samples`: token ids, not empty, no longer than the model's context. One block's weights are in
// memory at a time; hidden states go to a nameless file where options.states says so. The same bits
// for any number of threads and any division of the samples into shards. Errors name folder and
// tensor, or the layer whose input is not finite.
core::Result<Observation> ObserveModel(const std::string& model_dir,
                                       const std::vector<std::vector<int32_t>>& samples,
                                       const ObserveOptions& options, core::ThreadPool& pool,
                                       core::Progress& progress, const core::CancelToken& cancel);

}  // namespace octavo::compress
