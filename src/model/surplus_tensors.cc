#include "model/surplus_tensors.h"

#include <string>
#include <unordered_set>

namespace octavo::model {

core::Status RefuseSurplusTensors(const format::ModelFolder& folder,
                                  const format::QuantizationConfig& quantization,
                                  const ModelConfig& config) {
  std::unordered_set<std::string> known = {"model.embed_tokens.weight", "model.norm.weight"};
  const auto linear = [&](const std::string& module, bool bias) {
    for (const char* part : {".weight", ".weight_packed", ".weight_scale", ".weight_shape"})
      known.insert(module + part);
    const auto scheme = quantization.SchemeOf(module);
    if (scheme && scheme->activations == tensor::Activations::kStaticPerTensor)
      known.insert(module + ".input_scale");
    if (bias) known.insert(module + ".bias");
  };
  // Only what is known to be redundant may stay over.
  if (config.tied_embeddings) {
    linear("model.embed_tokens", false);
    known.insert("lm_head.weight");
  } else {
    linear("lm_head", false);
  }
  for (int64_t i = 0; i < config.layers; ++i) {
    const std::string prefix = "model.layers." + std::to_string(i) + ".";
    for (const char* name : {"q_proj", "k_proj", "v_proj"})
      linear(prefix + "self_attn." + name, config.qkv_bias);
    linear(prefix + "self_attn.o_proj", config.o_bias);
    for (const char* name : {"gate_proj", "up_proj", "down_proj"})
      linear(prefix + "mlp." + name, config.mlp_bias);
    known.insert(prefix + "input_layernorm.weight");
    known.insert(prefix + "post_attention_layernorm.weight");
    known.insert(prefix +
                 "self_attn.rotary_emb.inv_freq");  // of old checkpoints; computed from the config
    if (!config.qk_norm) continue;
    known.insert(prefix + "self_attn.q_norm.weight");
    known.insert(prefix + "self_attn.k_norm.weight");
  }
  for (const std::string& name : folder.tensor_names()) {
    if (known.count(name) != 0) continue;
    return core::Unsupported("tensor '" + core::Printable(name, 200) + "' has no place in " +
                             config.architecture + " with " + std::to_string(config.layers) +
                             " layers as config.json describes it");
  }
  return {};
}

}  // namespace octavo::model
