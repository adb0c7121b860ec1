// The weights of a GGUF file as one model.safetensors: names, row order and types of Hugging Face.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/progress.h"
#include "core/result.h"
#include "format/gguf.h"
#include "format/safetensors.h"
#include "format/weight_names.h"
#include "hub/gguf_config.h"

namespace octavo::hub {

// One tensor on its way: what is read, and what is written.
struct WeightImport {
  const format::GgufTensor* source;
  format::TensorPlan plan;
  int64_t heads;  // of interleaved rows; 0 when rows keep their order
};

// In the order of the file. A tensor without a known name, or of a layer that the metadata does not
// announce, and one that is missing are refused by name. Types: `dtype`, or if absent F32 and BF16
// as they are and all others F16.
core::Result<std::vector<WeightImport>> PlanWeights(const format::GgufFile& file,
                                                    const GgufModel& model,
                                                    std::optional<tensor::DType> dtype);

// Dequantizes in f32, rounds once, un-interleaves, and writes; memory stays at one piece.
core::Status WriteWeights(const format::GgufFile& file, const std::vector<WeightImport>& imports,
                          const std::string& path, core::Progress& progress,
                          const core::CancelToken& cancel);

}  // namespace octavo::hub
