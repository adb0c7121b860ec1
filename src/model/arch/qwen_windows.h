// Which layers of a Qwen model have a sliding window: `layer_types`, or in older configs
// `max_window_layers`.
#pragma once

#include "model/arch/architecture.h"

namespace octavo::model {

// Sets config.windows; nothing when use_sliding_window is false or absent. Source: transformers,
// models/qwen2/configuration_qwen2.py.
core::Status ReadQwenWindows(const core::Json& json, ModelConfig& config);

}  // namespace octavo::model
