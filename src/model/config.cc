#include "model/config.h"

#include <cmath>

#include "core/bytes.h"
#include "core/file.h"
#include "format/compressed_tensors.h"
#include "kernels/table.h"
#include "model/arch/architecture.h"

namespace octavo::model {
namespace {

using core::Json;

// Limits on what a config may ask for, far above any published model, so that products of them fit
// 63 bits.
constexpr int64_t kMaxDimension = int64_t{1} << 24;
constexpr int64_t kMaxLayers = 4096;
constexpr int64_t kMaxContext = int64_t{1} << 30;

core::Status ReadDimension(const Json& json, std::string_view key, int64_t max, int64_t& out) {
  OCTAVO_TRY(out, core::GetInt(json, key));
  if (out < 1 || out > max) {
    return core::Invalid("field '" + std::string(key) + "' is " + std::to_string(out) +
                         ", expected 1 to " + std::to_string(max));
  }
  return {};
}

core::Status ReadPositive(const Json& json, std::string_view key, double& out) {
  OCTAVO_TRY(const auto value, core::GetOptionalDouble(json, key));
  if (!value) return {};
  if (!std::isfinite(*value) || *value <= 0) {
    return core::Invalid("field '" + std::string(key) + "' must be a positive number");
  }
  out = *value;
  return {};
}

// `scaling` is rope_scaling (old) or rope_parameters (new); both name their kind "rope_type", or
// "type" in the oldest files.
core::Status ReadScaling(const Json& scaling, ModelConfig& config) {
  OCTAVO_TRY(auto kind, core::GetOptionalString(scaling, "rope_type"));
  if (!kind) {
    OCTAVO_TRY(kind, core::GetOptionalString(scaling, "type"));
  }
  const std::string name = kind.value_or("default");
  RopeConfig& rope = config.rope;
  if (name == "default") return {};
  if (name != "linear" && name != "llama3") {
    return core::Unsupported("rope type '" + core::Printable(name) +
                             "'; octavo runs default, linear and llama3");
  }
  rope.scaling = name == "linear" ? RopeScaling::kLinear : RopeScaling::kLlama3;
  OCTAVO_TRY(rope.factor, core::GetDouble(scaling, "factor"));
  OCTAVO_RETURN_IF_ERROR(ReadPositive(scaling, "factor", rope.factor));
  if (rope.scaling == RopeScaling::kLinear) return {};
  OCTAVO_TRY(rope.low_freq_factor, core::GetDouble(scaling, "low_freq_factor"));
  OCTAVO_TRY(rope.high_freq_factor, core::GetDouble(scaling, "high_freq_factor"));
  OCTAVO_RETURN_IF_ERROR(ReadDimension(scaling, "original_max_position_embeddings", kMaxContext,
                                       rope.original_context));
  if (!(rope.low_freq_factor > 0) || !(rope.high_freq_factor > rope.low_freq_factor)) {
    return core::Invalid(
        "fields 'low_freq_factor' and 'high_freq_factor' must be positive and in rising order");
  }
  return {};
}

core::Status ReadRope(const Json& json, ModelConfig& config) {
  OCTAVO_RETURN_IF_ERROR(ReadPositive(json, "rope_theta", config.rope.theta));
  for (const std::string_view key : {"rope_scaling", "rope_parameters"}) {
    const Json* scaling = core::Find(json, key);
    if (scaling == nullptr) continue;
    if (!scaling->is_object())
      return core::Invalid("field '" + std::string(key) + "' must be an object or null");
    OCTAVO_RETURN_IF_ERROR(ReadPositive(*scaling, "rope_theta", config.rope.theta).Context(key));
    OCTAVO_RETURN_IF_ERROR(ReadScaling(*scaling, config).Context(key));
  }
  double partial = 1;
  OCTAVO_RETURN_IF_ERROR(ReadPositive(json, "partial_rotary_factor", partial));
  if (partial != 1) return core::Unsupported("field 'partial_rotary_factor' other than 1");
  return {};
}

// A token id, a list of them, or nothing.
core::Status ReadTokenIds(const Json& json, std::string_view key, int64_t vocab_size,
                          std::vector<int32_t>& out) {
  const Json* value = core::Find(json, key);
  if (value == nullptr) return {};
  const Json list = value->is_array() ? *value : Json::array({*value});
  std::vector<int32_t> ids;
  for (const Json& id : list) {
    if (!id.is_number_integer() || id.get<int64_t>() < 0 || id.get<int64_t>() >= vocab_size) {
      return core::Invalid("field '" + std::string(key) + "' must hold token ids below " +
                           std::to_string(vocab_size));
    }
    ids.push_back(static_cast<int32_t>(id.get<int64_t>()));
  }
  if (!ids.empty()) out = std::move(ids);
  return {};
}

core::Status ReadDimensions(const Json& json, ModelConfig& config) {
  OCTAVO_RETURN_IF_ERROR(ReadDimension(json, "vocab_size", kMaxDimension, config.vocab_size));
  OCTAVO_RETURN_IF_ERROR(ReadDimension(json, "hidden_size", kMaxDimension, config.hidden_size));
  OCTAVO_RETURN_IF_ERROR(
      ReadDimension(json, "intermediate_size", kMaxDimension, config.intermediate_size));
  OCTAVO_RETURN_IF_ERROR(ReadDimension(json, "num_hidden_layers", kMaxLayers, config.layers));
  OCTAVO_RETURN_IF_ERROR(ReadDimension(json, "num_attention_heads", kMaxDimension, config.heads));
  OCTAVO_RETURN_IF_ERROR(
      ReadDimension(json, "max_position_embeddings", kMaxContext, config.context));
  config.kv_heads = config.heads;
  if (core::Find(json, "num_key_value_heads") != nullptr) {
    OCTAVO_RETURN_IF_ERROR(
        ReadDimension(json, "num_key_value_heads", kMaxDimension, config.kv_heads));
  }
  if (core::Find(json, "head_dim") != nullptr) {
    OCTAVO_RETURN_IF_ERROR(ReadDimension(json, "head_dim", kMaxDimension, config.head_dim));
  } else if (config.hidden_size % config.heads == 0) {
    config.head_dim = config.hidden_size / config.heads;
  } else {
    return core::Invalid("field 'hidden_size' " + std::to_string(config.hidden_size) +
                         " is not a multiple of 'num_attention_heads' " +
                         std::to_string(config.heads));
  }
  if (config.heads % config.kv_heads != 0) {
    return core::Invalid("field 'num_attention_heads' " + std::to_string(config.heads) +
                         " is not a multiple of 'num_key_value_heads' " +
                         std::to_string(config.kv_heads));
  }
  if (config.heads / config.kv_heads > kernels::kAttentionQueries) {
    return core::Unsupported(std::to_string(config.heads / config.kv_heads) +
                             " query heads for one KV head; at most " +
                             std::to_string(kernels::kAttentionQueries));
  }
  if (config.head_dim % 16 != 0 || config.head_dim > kernels::kMaxHeadDim) {
    return core::Unsupported("head dimension " + std::to_string(config.head_dim) +
                             "; octavo runs multiples of 16 up to " +
                             std::to_string(kernels::kMaxHeadDim));
  }
  // q_proj must not be astronomically larger than anything a file could hold.
  if (config.heads * config.head_dim > kMaxDimension) {
    return core::Invalid("'num_attention_heads' * 'head_dim' is " +
                         std::to_string(config.heads * config.head_dim) + ", above " +
                         std::to_string(kMaxDimension));
  }
  return {};
}

core::Result<const Architecture*> ReadArchitecture(const Json& json) {
  OCTAVO_TRY(const auto classes, core::GetStrings(json, "architectures"));
  if (classes.empty()) return core::Invalid("field 'architectures' is empty");
  const Architecture* architecture = FindArchitecture(classes.front());
  if (architecture == nullptr) {
    std::string known;
    for (const Architecture* a : AllArchitectures())
      known += (known.empty() ? "" : ", ") + std::string(a->hf_class);
    return core::Unsupported("architecture '" + core::Printable(classes.front()) +
                             "'; octavo runs " + known);
  }
  return architecture;
}

core::Status ReadCommon(const Json& json, ModelConfig& config) {
  OCTAVO_RETURN_IF_ERROR(ReadDimensions(json, config));
  OCTAVO_RETURN_IF_ERROR(ReadPositive(json, "rms_norm_eps", config.rms_norm_eps));
  OCTAVO_RETURN_IF_ERROR(ReadRope(json, config));
  OCTAVO_TRY(const auto tied, core::GetOptionalBool(json, "tie_word_embeddings"));
  config.tied_embeddings = tied.value_or(false);
  OCTAVO_TRY(const auto activation, core::GetOptionalString(json, "hidden_act"));
  if (activation.value_or("silu") != "silu") {
    return core::Unsupported("activation '" + core::Printable(*activation) +
                             "' in field 'hidden_act'; octavo runs silu");
  }
  OCTAVO_RETURN_IF_ERROR(ReadTokenIds(json, "eos_token_id", config.vocab_size, config.eos_ids));
  std::vector<int32_t> bos;
  OCTAVO_RETURN_IF_ERROR(ReadTokenIds(json, "bos_token_id", config.vocab_size, bos));
  if (!bos.empty()) config.bos_id = bos.front();
  config.windows.assign(static_cast<size_t>(config.layers), 0);
  return {};
}

core::Status ReadOnlineRotation(const Json& json, ModelConfig& config) {
  OCTAVO_TRY(const auto quantization, format::QuantizationConfig::Parse(json));
  const auto& rotation = quantization.down_rotation();
  if (!rotation) return {};
  if (rotation->order != config.intermediate_size) {
    return core::Invalid("quantization_config.online_rotation is of order " +
                         std::to_string(rotation->order) + "; down_proj has " +
                         std::to_string(config.intermediate_size) + " inputs");
  }
  config.down_rotation = std::make_shared<const kernels::Hadamard>(
      kernels::Hadamard::Make(rotation->order, rotation->seed));
  return {};
}

}  // namespace

core::Result<ModelConfig> ParseModelConfig(const Json& json) {
  OCTAVO_TRY(const Architecture* architecture, ReadArchitecture(json));
  ModelConfig config;
  config.architecture = architecture->hf_class;
  OCTAVO_RETURN_IF_ERROR(ReadCommon(json, config));
  OCTAVO_RETURN_IF_ERROR(architecture->configure(json, config));
  OCTAVO_RETURN_IF_ERROR(ReadOnlineRotation(json, config));
  return config;
}

core::Result<ModelConfig> LoadModelConfig(const Json& json, const std::string& folder) {
  auto parsed = ParseModelConfig(json);
  if (!parsed.ok()) return std::move(parsed).Context(core::JoinPath(folder, "config.json"));
  ModelConfig config = std::move(parsed).value();
  const std::string path = core::JoinPath(folder, "generation_config.json");
  if (!core::FileExists(path)) return config;
  OCTAVO_TRY(const Json generation, core::ReadJsonFile(path));
  OCTAVO_RETURN_IF_ERROR(
      ReadTokenIds(generation, "eos_token_id", config.vocab_size, config.eos_ids).Context(path));
  return config;
}

}  // namespace octavo::model
