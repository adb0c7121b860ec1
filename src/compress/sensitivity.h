// What quantizing one group of layers costs the whole model, every other layer staying as it is:
// the basis of mixed precision.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "compress/fused_group.h"
#include "core/progress.h"
#include "core/result.h"
#include "core/thread_pool.h"
#include "format/model_folder.h"
#include "model/config.h"
#include "tensor/quant_spec.h"

namespace octavo::compress {

class SensitivityJournal;

struct SensitivityOptions {
  // The KL divergence is measured with the first, and follows for the others from the errors of the
  // group's outputs: both grow with the square of the weights' errors.
  std::vector<tensor::Scheme> schemes;
  int64_t samples = 8;   // of the calibration, for the divergence
  int64_t tokens = 256;  // of each
};

struct GroupSensitivity {
  int64_t layer = 0;  // -1: lm_head
  FusedGroup group = FusedGroup::kQkv;
  int64_t weights = 0;
  struct Loss {
    tensor::Scheme scheme;
    double bits = 0;          // of all weights, scales included
    double output_error = 0;  // mean square of the change of the outputs, over that of the outputs
    double kld = 0;           // mean nats a token
  };
  std::vector<Loss> losses;  // by scheme; those that the group's inputs do not divide into are left
                             // out
};

// Weights are rounded to nearest with clipping. All blocks are held in memory as they are stored.
// Deterministic for any number of threads. Groups that the journal holds already are not measured
// again; it ends with all of them, block by block.
core::Result<std::vector<GroupSensitivity>> MeasureSensitivity(
    const format::ModelFolder& source, const model::ModelConfig& config,
    const std::vector<std::vector<int32_t>>& samples, const SensitivityOptions& options,
    SensitivityJournal& journal, core::ThreadPool& pool, core::Progress& progress,
    const core::CancelToken& cancel);

}  // namespace octavo::compress
