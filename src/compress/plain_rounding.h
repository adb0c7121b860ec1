// Round to nearest of a folder as it is stored: tensor by tensor, read once and written once.
#pragma once

#include <cstdint>
#include <string>

#include "compress/layer_plan.h"
#include "core/progress.h"
#include "core/result.h"
#include "core/thread_pool.h"
#include "format/manifest.h"
#include "format/model_folder.h"
#include "model/config.h"

namespace octavo::compress {

// A group size that does not divide the inputs of a layer is an Error that proposes those that do.
core::Status CheckGroupSizes(const format::ModelFolder& source, const model::ModelConfig& config,
                             const LayerPlan& plan);

struct WrittenWeights {
  uint64_t bytes = 0;            // of all tensors
  format::FileHashes hashes;     // of the weight files that were written
  format::FileHashes of_source;  // of those that were read
};

// Writes all weights below `folder`, on `pool` and two threads more.
core::Result<WrittenWeights> WritePlainRounded(const format::ModelFolder& source,
                                               const model::ModelConfig& config,
                                               const LayerPlan& plan, const std::string& folder,
                                               uint64_t max_shard_bytes, core::ThreadPool& pool,
                                               core::Progress& progress,
                                               const core::CancelToken& cancel);

}  // namespace octavo::compress
