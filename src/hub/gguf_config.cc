#include "hub/gguf_config.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include <fmt/format.h>

namespace octavo::hub {
namespace {

using core::Json;
using format::GgufFile;

constexpr ImportedArchitecture kArchitectures[] = {
    // Mistral's GGUF files call themselves llama too.
    {"llama", "LlamaForCausalLM", "llama", true, false},
    {"qwen2", "Qwen2ForCausalLM", "qwen2", false, false},
    {"qwen3", "Qwen3ForCausalLM", "qwen3", false, true},
};

// Keys below "{architecture}." that octavo reads, or that change nothing.
constexpr std::string_view kKnownKeys[] = {
    "context_length",       "embedding_length",       "block_count",
    "feed_forward_length",  "attention.head_count",   "attention.head_count_kv",
    "attention.key_length", "attention.value_length", "attention.layer_norm_rms_epsilon",
    "rope.dimension_count", "rope.freq_base",         "rope.scaling.type",
    "rope.scaling.factor",  "rope.scaling.finetuned", "rope.scaling.original_context_length",
    "vocab_size",           "tensor_data_layout",     "expert_count",
    "expert_used_count"};

constexpr int64_t kMaxDimension = int64_t{1} << 24;
constexpr int64_t kMaxLayers = 4096;
constexpr int64_t kMaxContext = int64_t{1} << 30;

// The metadata of one architecture: its keys without their prefix.
class Keys {
 public:
  Keys(const GgufFile& file, std::string_view prefix) : file_(file), prefix_(prefix) {}

  std::string Full(std::string_view key) const { return fmt::format("{}.{}", prefix_, key); }
  bool Has(std::string_view key) const { return file_.FindValue(Full(key)) != nullptr; }

  core::Result<int64_t> Count(std::string_view key, int64_t most) const {
    OCTAVO_TRY(const int64_t value, file_.GetInt(Full(key)));
    if (value < 1 || value > most) {
      return core::Invalid(
          fmt::format("metadata key '{}' is {}, expected 1 to {}", Full(key), value, most));
    }
    return value;
  }
  core::Result<int64_t> CountOr(std::string_view key, int64_t most, int64_t absent) const {
    if (!Has(key)) return absent;
    return Count(key, most);
  }
  // A positive float, with the digits that its f32 needs and no more: 1e-05,
  // not 9.99999974737875e-06.
  core::Result<double> Positive(std::string_view key) const {
    OCTAVO_TRY(const double value, file_.GetDouble(Full(key)));
    if (!std::isfinite(value) || value <= 0) {
      return core::Invalid(
          fmt::format("metadata key '{}' is {}, expected a positive number", Full(key), value));
    }
    const auto narrow = static_cast<float>(value);
    if (static_cast<double>(narrow) != value) return value;
    const std::string digits = fmt::format("{}", narrow);
    double shortest = value;
    std::from_chars(digits.data(), digits.data() + digits.size(), shortest);
    return shortest;
  }
  core::Result<double> PositiveOr(std::string_view key, double absent) const {
    if (!Has(key)) return absent;
    return Positive(key);
  }

 private:
  const GgufFile& file_;
  std::string_view prefix_;
};

core::Result<const ImportedArchitecture*> FindArchitecture(const GgufFile& file) {
  OCTAVO_TRY(const std::string name, file.GetString("general.architecture"));
  for (const ImportedArchitecture& architecture : kArchitectures) {
    if (architecture.gguf == name) return &architecture;
  }
  return core::Unsupported(
      fmt::format("architecture '{}' (metadata key 'general.architecture'); octavo imports llama, "
                  "qwen2 and qwen3",
                  core::Printable(name)));
}

core::Status RefuseUnknownKeys(const GgufFile& file, const Keys& keys) {
  const std::string prefix = keys.Full("");
  std::vector<std::string_view> names;
  for (const auto& [name, value] : file.values()) names.push_back(name);
  std::sort(names.begin(), names.end());
  for (const std::string_view name : names) {
    if (name.substr(0, prefix.size()) != prefix) continue;
    const std::string_view key = name.substr(prefix.size());
    if (std::find(std::begin(kKnownKeys), std::end(kKnownKeys), key) != std::end(kKnownKeys))
      continue;
    return core::Unsupported(
        fmt::format("metadata key '{}' is unknown and could change what the model computes",
                    core::Printable(name)));
  }
  for (const std::string_view key : {"expert_count", "expert_used_count"}) {
    const auto experts = file.GetInt(keys.Full(key));
    if (experts.ok() && experts.value() > 0) {
      return core::Unsupported(
          fmt::format("metadata key '{}' is {}; octavo runs no mixture of experts", keys.Full(key),
                      experts.value()));
    }
  }
  return {};
}

core::Status ReadDimensions(const Keys& keys, GgufModel& model, int64_t hidden) {
  OCTAVO_TRY(model.layers, keys.Count("block_count", kMaxLayers));
  OCTAVO_TRY(model.heads, keys.Count("attention.head_count", kMaxDimension));
  OCTAVO_TRY(model.kv_heads, keys.CountOr("attention.head_count_kv", kMaxDimension, model.heads));
  OCTAVO_TRY(model.context, keys.Count("context_length", kMaxContext));
  if (!keys.Has("attention.key_length") && hidden % model.heads != 0) {
    return core::Invalid(fmt::format("metadata key '{}' is {}, no multiple of the {} heads",
                                     keys.Full("embedding_length"), hidden, model.heads));
  }
  OCTAVO_TRY(model.head_dim,
             keys.CountOr("attention.key_length", kMaxDimension, hidden / model.heads));
  // Values as wide as keys, and all of a head rotated.
  for (const std::string_view key : {"attention.value_length", "rope.dimension_count"}) {
    OCTAVO_TRY(const int64_t width, keys.CountOr(key, kMaxDimension, model.head_dim));
    if (width == model.head_dim) continue;
    return core::Unsupported(
        fmt::format("metadata key '{}' is {}, octavo runs only the head size {}", keys.Full(key),
                    width, model.head_dim));
  }
  if (model.head_dim % 2 != 0) {
    return core::Invalid(fmt::format("head size {}, expected an even one", model.head_dim));
  }
  return {};
}

core::Result<Json> ReadRopeScaling(const GgufFile& file, const Keys& keys, const GgufModel& model,
                                   double theta) {
  std::string type = "none";
  if (keys.Has("rope.scaling.type")) {
    OCTAVO_TRY(type, file.GetString(keys.Full("rope.scaling.type")));
  }
  const format::GgufTensor* divisors = file.FindTensor("rope_freqs.weight");
  if (type == "linear" && divisors == nullptr) {
    OCTAVO_TRY(const double factor, keys.Positive("rope.scaling.factor"));
    return Json{{"rope_type", "linear"}, {"type", "linear"}, {"factor", factor}};
  }
  if (type != "none") {
    return core::Unsupported(
        fmt::format("metadata key '{}' is '{}'; octavo runs none, linear and Llama 3's",
                    keys.Full("rope.scaling.type"), core::Printable(type)));
  }
  if (divisors == nullptr) return Json(nullptr);
  if (divisors->shape != tensor::Shape{model.head_dim / 2} ||
      divisors->type != format::GgufType::kF32) {
    return core::Invalid(fmt::format("tensor 'rope_freqs.weight' is {} {}, expected F32 [{}]",
                                     format::BlockOf(divisors->type).name,
                                     tensor::ShapeToString(divisors->shape), model.head_dim / 2));
  }
  std::vector<float> values(static_cast<size_t>(model.head_dim / 2));
  format::GgufDequantize(*divisors, 0, values);
  return RecoverLlama3Scaling(values, theta);
}

// The rows of the embedding: a vocabulary may have unused ones at its end.
core::Result<int64_t> ReadVocabSize(const GgufFile& file, int64_t hidden) {
  constexpr std::string_view kName = "token_embd.weight";
  const format::GgufTensor* embedding = file.FindTensor(kName);
  if (embedding == nullptr) {
    return core::NotFound(fmt::format("has no tensor '{}'; fetch the file again", kName));
  }
  const tensor::Shape& shape = embedding->shape;
  if (shape.size() != 2 || shape[0] < 1 || shape[0] > kMaxDimension || shape[1] != hidden) {
    return core::Invalid(fmt::format("tensor '{}' has shape {}, expected [vocabulary, {}]", kName,
                                     tensor::ShapeToString(shape), hidden));
  }
  return shape[0];
}

// The ids of the special tokens, as both configs spell them.
core::Result<Json> ReadTokenIds(const GgufFile& file, int64_t vocab_size) {
  Json ids = Json::object();
  Json ends = Json::array();
  for (const std::string_view name : {"bos", "pad", "eos", "eot", "eom"}) {
    const std::string key =
        fmt::format("tokenizer.ggml.{}_token_id", name == "pad" ? "padding" : name);
    if (file.FindValue(key) == nullptr) continue;
    OCTAVO_TRY(const int64_t id, file.GetInt(key));
    if (id < 0 || id >= vocab_size) {
      return core::Invalid(fmt::format("metadata key '{}' is {}, expected a token id below {}", key,
                                       id, vocab_size));
    }
    if (name == "bos" || name == "pad") {
      ids[fmt::format("{}_token_id", name)] = id;
    } else if (std::find(ends.begin(), ends.end(), id) == ends.end()) {
      ends.push_back(id);
    }
  }
  if (ends.size() == 1) ids["eos_token_id"] = ends[0];
  if (ends.size() > 1) ids["eos_token_id"] = ends;
  return ids;
}

bool HasBias(const GgufFile& file, std::string_view module) {
  return file.FindTensor(fmt::format("blk.0.{}.bias", module)) != nullptr;
}

}  // namespace

const ImportedArchitecture* FindHfArchitecture(std::string_view hf_class) {
  if (hf_class == "MistralForCausalLM") hf_class = "LlamaForCausalLM";
  for (const ImportedArchitecture& architecture : kArchitectures) {
    if (architecture.hf_class == hf_class) return &architecture;
  }
  return nullptr;
}

core::Result<GgufModel> ReadGgufModel(const GgufFile& file) {
  GgufModel model;
  OCTAVO_TRY(model.architecture, FindArchitecture(file));
  const Keys keys(file, model.architecture->gguf);
  OCTAVO_RETURN_IF_ERROR(RefuseUnknownKeys(file, keys));
  OCTAVO_TRY(const int64_t hidden, keys.Count("embedding_length", kMaxDimension));
  OCTAVO_TRY(const int64_t intermediate, keys.Count("feed_forward_length", kMaxDimension));
  OCTAVO_RETURN_IF_ERROR(ReadDimensions(keys, model, hidden));
  OCTAVO_TRY(model.vocab_size, ReadVocabSize(file, hidden));
  OCTAVO_TRY(const double epsilon, keys.Positive("attention.layer_norm_rms_epsilon"));
  OCTAVO_TRY(const double theta, keys.PositiveOr("rope.freq_base", 10000));
  OCTAVO_TRY(const Json scaling, ReadRopeScaling(file, keys, model, theta));
  OCTAVO_TRY(const Json ids, ReadTokenIds(file, model.vocab_size));

  model.config = {{"architectures", {model.architecture->hf_class}},
                  {"model_type", model.architecture->model_type},
                  {"vocab_size", model.vocab_size},
                  {"hidden_size", hidden},
                  {"intermediate_size", intermediate},
                  {"num_hidden_layers", model.layers},
                  {"num_attention_heads", model.heads},
                  {"num_key_value_heads", model.kv_heads},
                  {"head_dim", model.head_dim},
                  {"hidden_act", "silu"},
                  {"max_position_embeddings", model.context},
                  {"rms_norm_eps", epsilon},
                  {"rope_theta", theta},
                  {"rope_scaling", scaling},
                  {"tie_word_embeddings", file.FindTensor("output.weight") == nullptr}};
  // Qwen2 has its biases without saying so.
  if (model.architecture->gguf != "qwen2") model.config["attention_bias"] = HasBias(file, "attn_q");
  if (model.architecture->gguf == "llama") model.config["mlp_bias"] = HasBias(file, "ffn_up");
  model.config.update(ids);
  model.generation_config = ids;
  return model;
}

}  // namespace octavo::hub
