// Qwen3 (dense): RMS norms on each head of Q and K, biases on q, k, v and o only when the config
// says so.

#include "model/arch/qwen_windows.h"

namespace octavo::model {
namespace {

core::Status Configure(const core::Json& json, ModelConfig& config) {
  OCTAVO_TRY(const auto attention_bias, core::GetOptionalBool(json, "attention_bias"));
  config.qkv_bias = config.o_bias = attention_bias.value_or(false);
  config.qk_norm = true;
  return ReadQwenWindows(json, config);
}

}  // namespace

extern const Architecture kQwen3;
const Architecture kQwen3 = {"Qwen3ForCausalLM", Configure};

}  // namespace octavo::model
