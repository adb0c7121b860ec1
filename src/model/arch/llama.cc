// Llama 1 to 3 and what copies it (SmolLM2, ...): biases where the config says so.

#include "model/arch/architecture.h"

namespace octavo::model {
namespace {

core::Status Configure(const core::Json& json, ModelConfig& config) {
  OCTAVO_TRY(const auto attention_bias, core::GetOptionalBool(json, "attention_bias"));
  OCTAVO_TRY(const auto mlp_bias, core::GetOptionalBool(json, "mlp_bias"));
  config.qkv_bias = config.o_bias = attention_bias.value_or(false);
  config.mlp_bias = mlp_bias.value_or(false);
  return {};
}

}  // namespace

extern const Architecture kLlama;
const Architecture kLlama = {"LlamaForCausalLM", Configure};

}  // namespace octavo::model
