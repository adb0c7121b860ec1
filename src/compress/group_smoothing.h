// The smoothing of one group of layers: which factors, and their folding into what comes before.
#pragma once

#include "compress/block_tensors.h"
#include "compress/input_stats.h"
#include "compress/recipe.h"
#include "core/json.h"
#include "core/result.h"
#include "core/thread_pool.h"
#include "model/config.h"
#include "tensor/quant_spec.h"

namespace octavo::compress {

// Chooses factors as the recipe says, folds them into `block` and divides `stats` by them. Returns
// what the report tells; null where this group cannot be smoothed (down behind an online rotation,
// AWQ on O with grouped queries).
core::Result<core::Json> SmoothGroup(BlockTensors& block, FusedGroup group, InputStats& stats,
                                     const Recipe& recipe, const tensor::Scheme& scheme,
                                     const model::ModelConfig& config, core::ThreadPool& pool);

}  // namespace octavo::compress
