#include "hub/export_config.h"

#include <algorithm>

#include <fmt/format.h>

namespace octavo::hub {
namespace {

using core::Json;

constexpr int64_t kMaxCount = int64_t{1} << 30;

core::Result<int64_t> Count(const Json& config, std::string_view key) {
  OCTAVO_TRY(const int64_t value, core::GetInt(config, key));
  if (value >= 1 && value <= kMaxCount) return value;
  return core::Invalid(fmt::format("field '{}' is {}, expected 1 to {}", key, value, kMaxCount));
}

core::Result<int64_t> CountOr(const Json& config, std::string_view key, int64_t absent) {
  if (core::Find(config, key) == nullptr) return absent;
  return Count(config, key);
}

core::Result<const ImportedArchitecture*> FindArchitecture(const Json& config) {
  OCTAVO_TRY(const auto classes, core::GetStrings(config, "architectures"));
  const std::string name = classes.empty() ? "" : classes.front();
  if (const auto* found = FindHfArchitecture(name)) return found;
  return core::Unsupported(fmt::format(
      "architecture '{}'; octavo exports Llama, Mistral, Qwen2 and Qwen3", core::Printable(name)));
}

// How far attention may see when not everywhere: 0 for no limit.
core::Result<int64_t> SlidingWindow(const Json& config) {
  OCTAVO_TRY(const auto used, core::GetOptionalBool(config, "use_sliding_window"));
  OCTAVO_TRY(const auto type, core::GetOptionalString(config, "model_type"));
  // Only Mistral has a window without saying that it uses it.
  if (!used.value_or(type.value_or("") == "mistral")) return 0;
  if (core::Find(config, "sliding_window") == nullptr) return 0;
  return Count(config, "sliding_window");
}

core::Status PlanRope(const Json& config, const std::string& prefix, ExportModel& out) {
  const Json* scaling = core::Find(config, "rope_parameters");
  if (scaling == nullptr) scaling = core::Find(config, "rope_scaling");
  const Json none = Json::object();
  if (scaling == nullptr) scaling = &none;
  OCTAVO_TRY(const auto inner_theta, core::GetOptionalDouble(*scaling, "rope_theta"));
  OCTAVO_TRY(const auto outer_theta, core::GetOptionalDouble(config, "rope_theta"));
  const double theta = inner_theta.value_or(outer_theta.value_or(10000));
  out.metadata.emplace_back(prefix + "rope.freq_base", static_cast<float>(theta));
  OCTAVO_TRY(auto kind, core::GetOptionalString(*scaling, "rope_type"));
  if (!kind) {
    OCTAVO_TRY(kind, core::GetOptionalString(*scaling, "type"));
  }
  const std::string name = kind.value_or("default");
  if (name == "default") return {};
  if (name == "linear") {
    OCTAVO_TRY(const double factor, core::GetDouble(*scaling, "factor"));
    out.metadata.emplace_back(prefix + "rope.scaling.type", std::string("linear"));
    out.metadata.emplace_back(prefix + "rope.scaling.factor", static_cast<float>(factor));
    return {};
  }
  if (name != "llama3") {
    return core::Unsupported(fmt::format(
        "rope type '{}'; octavo exports default, linear and llama3", core::Printable(name)));
  }
  OCTAVO_TRY(out.rope_divisors, Llama3Divisors(*scaling, theta, out.head_dim / 2));
  return {};
}

core::Result<uint32_t> PlanContext(const Json& config, ExportModel& out) {
  OCTAVO_TRY(const int64_t context, Count(config, "max_position_embeddings"));
  OCTAVO_TRY(const int64_t window, SlidingWindow(config));
  if (window == 0 || window >= context) return static_cast<uint32_t>(context);
  out.notes.push_back(
      fmt::format("llama.cpp has no sliding window for this architecture: the context is cut from "
                  "{} to {} tokens, within which the window changes nothing",
                  context, window));
  return static_cast<uint32_t>(window);
}

}  // namespace

core::Result<ExportModel> PlanExport(const Json& config) {
  ExportModel out;
  OCTAVO_TRY(out.architecture, FindArchitecture(config));
  OCTAVO_TRY(const int64_t hidden, Count(config, "hidden_size"));
  OCTAVO_TRY(const int64_t inner, Count(config, "intermediate_size"));
  OCTAVO_TRY(out.layers, Count(config, "num_hidden_layers"));
  OCTAVO_TRY(out.heads, Count(config, "num_attention_heads"));
  OCTAVO_TRY(out.kv_heads, CountOr(config, "num_key_value_heads", out.heads));
  OCTAVO_TRY(out.head_dim, CountOr(config, "head_dim", hidden / out.heads));
  OCTAVO_TRY(out.vocab_size, Count(config, "vocab_size"));
  OCTAVO_TRY(const double epsilon, core::GetDouble(config, "rms_norm_eps"));
  OCTAVO_TRY(const auto tied, core::GetOptionalBool(config, "tie_word_embeddings"));
  if (out.head_dim % 2 != 0 || out.head_dim < 2)
    return core::Invalid(
        fmt::format("heads of {} dimensions, expected an even number", out.head_dim));
  out.tied = tied.value_or(false);
  OCTAVO_TRY(const uint32_t context, PlanContext(config, out));

  const std::string prefix = std::string(out.architecture->gguf) + ".";
  const auto add = [&](const char* key, int64_t value) {
    out.metadata.emplace_back(prefix + key, static_cast<uint32_t>(value));
  };
  out.metadata.emplace_back("general.architecture", std::string(out.architecture->gguf));
  out.metadata.emplace_back("general.type", std::string("model"));
  add("block_count", out.layers);
  add("context_length", context);
  add("embedding_length", hidden);
  add("feed_forward_length", inner);
  add("attention.head_count", out.heads);
  add("attention.head_count_kv", out.kv_heads);
  add("attention.key_length", out.head_dim);
  add("attention.value_length", out.head_dim);
  add("rope.dimension_count", out.head_dim);
  add("vocab_size", out.vocab_size);
  out.metadata.emplace_back(prefix + "attention.layer_norm_rms_epsilon",
                            static_cast<float>(epsilon));
  OCTAVO_RETURN_IF_ERROR(PlanRope(config, prefix, out));
  return out;
}

}  // namespace octavo::hub
