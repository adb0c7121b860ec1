// Mistral: Llama without biases, and one sliding window for all layers unless the config says null.

#include "model/arch/architecture.h"

namespace octavo::model {
namespace {

core::Status Configure(const core::Json& json, ModelConfig& config) {
  // transformers/models/mistral/configuration_mistral.py: a missing field means 4096, null means no
  // window.
  int64_t window = 4096;
  if (json.contains("sliding_window")) {
    OCTAVO_TRY(const auto given, core::GetOptionalInt(json, "sliding_window"));
    window = given.value_or(0);
    if (given && window < 1)
      return core::Invalid("field 'sliding_window' is " + std::to_string(window) +
                           ", not positive");
  }
  config.windows.assign(static_cast<size_t>(config.layers), window);
  return {};
}

}  // namespace

extern const Architecture kMistral;
const Architecture kMistral = {"MistralForCausalLM", Configure};

}  // namespace octavo::model
