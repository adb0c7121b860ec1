// One block under a recipe: its groups smoothed, its matrices rounded.
#pragma once

#include "compress/input_stats.h"
#include "compress/layer_plan.h"
#include "compress/quantized_block.h"
#include "compress/recipe.h"
#include "core/result.h"
#include "core/thread_pool.h"
#include "model/config.h"

namespace octavo::compress {

// `block` has been rotated where the recipe rotates. `stats`: of its inputs, nullptr where the
// recipe needs none; they are used up. The same result for any number of threads.
core::Result<QuantizedBlock> QuantizeBlock(BlockTensors block, StatsCollector* stats,
                                           const Recipe& recipe, const LayerPlan& plan,
                                           const model::ModelConfig& config,
                                           core::ThreadPool& pool);

}  // namespace octavo::compress
