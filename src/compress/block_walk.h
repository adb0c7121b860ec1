// Quantization block by block: each block is loaded, rotated, observed on the outputs of the
// quantized blocks before it, smoothed, rounded, run once more for the next one's inputs, and put
// into the journal. Memory is set by the largest block and the budget for hidden states.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "compress/block_store.h"
#include "compress/layer_plan.h"
#include "compress/model_ends.h"
#include "compress/recipe.h"
#include "core/progress.h"
#include "core/result.h"
#include "core/thread_pool.h"
#include "format/model_folder.h"
#include "model/config.h"

namespace octavo::compress {

struct WalkInputs {
  const format::ModelFolder& source;
  const model::ModelConfig& config;
  const LayerPlan& plan;
  const Recipe& recipe;
  const Rotation* rotation;  // nullptr without one
  const ModelEnds& ends;
  const std::vector<std::vector<int32_t>>& samples;  // empty where the recipe needs none
  int64_t max_states_bytes;                          // of hidden states in memory
  bool observes;                                     // whether inputs are looked at
};

// Finishes all blocks that the store has not.
core::Status WalkBlocks(const WalkInputs& inputs, BlockStore& store, core::ThreadPool& pool,
                        core::Progress& progress, const core::CancelToken& cancel);

}  // namespace octavo::compress
