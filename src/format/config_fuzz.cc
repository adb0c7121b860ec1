// config.json with its quantization_config, and the index of a model in shards.
#include <cstdint>

#include "format/compressed_tensors.h"
#include "format/confined_path.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto json = octavo::core::ParseJson(text);
  if (!json.ok()) return 0;
  const auto quantization = octavo::format::QuantizationConfig::Parse(json.value());
  if (quantization.ok()) {
    const auto& config = quantization.value();
    for (const char* module : {"model.layers.0.self_attn.q_proj", "lm_head", ""}) {
      const auto scheme = config.SchemeOf(module);
      OCTAVO_CHECK(!scheme || (!config.empty() && octavo::tensor::SchemeName(*scheme) != "16"));
    }
  }
  const auto index = octavo::format::ParseShardIndex(json.value());
  if (index.ok()) {
    for (const auto& [tensor, shard] : index.value()) {
      OCTAVO_CHECK(!octavo::format::IsPlainName(shard) || shard.find('/') == std::string::npos);
    }
  }
  return 0;
}
