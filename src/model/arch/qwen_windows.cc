#include "model/arch/qwen_windows.h"

#include <algorithm>

#include "core/bytes.h"

namespace octavo::model {

core::Status ReadQwenWindows(const core::Json& json, ModelConfig& config) {
  OCTAVO_TRY(const auto enabled, core::GetOptionalBool(json, "use_sliding_window"));
  OCTAVO_TRY(const auto window, core::GetOptionalInt(json, "sliding_window"));
  if (!enabled.value_or(false) || !window) return {};
  if (*window < 1)
    return core::Invalid("field 'sliding_window' is " + std::to_string(*window) + ", not positive");
  config.windows.assign(static_cast<size_t>(config.layers), 0);
  if (core::Find(json, "layer_types") != nullptr) {
    OCTAVO_TRY(const auto types, core::GetStrings(json, "layer_types"));
    if (static_cast<int64_t>(types.size()) != config.layers) {
      return core::Invalid("field 'layer_types' has " + std::to_string(types.size()) +
                           " entries for " + std::to_string(config.layers) + " layers");
    }
    for (size_t i = 0; i < types.size(); ++i) {
      if (types[i] != "full_attention" && types[i] != "sliding_attention") {
        return core::Unsupported("layer type '" + core::Printable(types[i]) +
                                 "' in field 'layer_types'");
      }
      if (types[i] == "sliding_attention") config.windows[i] = *window;
    }
    return {};
  }
  OCTAVO_TRY(const auto first, core::GetOptionalInt(json, "max_window_layers"));
  for (int64_t i = std::max<int64_t>(first.value_or(28), 0); i < config.layers; ++i) {
    config.windows[static_cast<size_t>(i)] = *window;
  }
  return {};
}

}  // namespace octavo::model
