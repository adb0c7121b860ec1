// Qwen2 and Qwen2.5: biases on q, k and v, none on o; sliding windows on the upper layers when
// switched on.

#include "model/arch/qwen_windows.h"

namespace octavo::model {
namespace {

core::Status Configure(const core::Json& json, ModelConfig& config) {
  config.qkv_bias = true;
  return ReadQwenWindows(json, config);
}

}  // namespace

extern const Architecture kQwen2;
const Architecture kQwen2 = {"Qwen2ForCausalLM", Configure};

}  // namespace octavo::model
