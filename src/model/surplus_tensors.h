// A tensor that nothing reads would be a layer silently left out.
#pragma once

#include "core/result.h"
#include "format/compressed_tensors.h"
#include "format/model_folder.h"
#include "model/config.h"

namespace octavo::model {

// An Error that names a tensor of the folder that the model has no place for.
core::Status RefuseSurplusTensors(const format::ModelFolder& folder,
                                  const format::QuantizationConfig& quantization,
                                  const ModelConfig& config);

}  // namespace octavo::model
