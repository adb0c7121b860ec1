// The quantization_config object of config.json: written in the classic keys, read with every
// surprise refused by name.

#include <algorithm>
#include <cctype>

#include <fmt/format.h>

#include "format/compressed_tensors.h"

namespace octavo::format {
namespace {

using core::Json;
using tensor::Activations;
using tensor::Scheme;

// One "weights" or "input_activations" object with all its classic keys; `dynamic` only in
// activations.
Json MakeArguments(int bits, const char* strategy, int64_t group_size, bool dynamic) {
  return {{"num_bits", bits},
          {"type", "int"},
          {"symmetric", true},
          {"strategy", strategy},
          {"group_size", group_size > 0 ? Json(group_size) : Json()},
          {"dynamic", dynamic}};
}

// Weight-only codes are packed, others are not.
std::string_view FormatOf(const Scheme& scheme) {
  return scheme.activations == Activations::kFloat ? "pack-quantized" : "int-quantized";
}

Json MakeGroup(const SchemeGroup& group) {
  const Scheme& scheme = group.scheme;
  const bool is_static = scheme.activations == Activations::kStaticPerTensor;
  Json activations;
  if (scheme.activations != Activations::kFloat)
    activations = MakeArguments(8, is_static ? "tensor" : "token", 0, !is_static);
  return {{"targets", group.targets},
          {"weights", MakeArguments(scheme.weight_bits, scheme.group_size > 0 ? "group" : "channel",
                                    scheme.group_size, false)},
          {"input_activations", std::move(activations)},
          {"output_activations", nullptr}};
}

core::Status RequireInt(const Json& arguments) {
  OCTAVO_TRY(const auto type, core::GetOptionalString(arguments, "type"));
  OCTAVO_TRY(const auto symmetric, core::GetOptionalBool(arguments, "symmetric"));
  if (type.value_or("int") != "int")
    return core::Unsupported("type '" + core::Printable(*type) + "'; octavo runs int");
  if (!symmetric.value_or(true))
    return core::Unsupported("'symmetric': false; octavo runs symmetric codes");
  return {};
}

// The format's own loaders forbid other keys, and one that octavo does not know could change what
// the codes mean.
core::Status RefuseUnknownArguments(const Json& arguments) {
  return core::RefuseUnknownKeys(
      arguments, {"num_bits", "type", "symmetric", "strategy", "group_size", "block_structure",
                  "dynamic", "actorder", "scale_dtype", "zp_dtype", "observer", "observer_kwargs"});
}

core::Status ReadWeights(const Json& weights, Scheme& scheme) {
  OCTAVO_RETURN_IF_ERROR(RefuseUnknownArguments(weights));
  OCTAVO_TRY(const auto dynamic, core::GetOptionalBool(weights, "dynamic"));
  if (dynamic.value_or(false))
    return core::Unsupported("'dynamic': true; octavo runs weights with stored scales");
  OCTAVO_RETURN_IF_ERROR(RequireInt(weights));
  OCTAVO_TRY(const auto bits, core::GetOptionalInt(weights, "num_bits"));
  OCTAVO_TRY(const auto group_size, core::GetOptionalInt(weights, "group_size"));
  OCTAVO_TRY(const auto strategy, core::GetOptionalString(weights, "strategy"));
  OCTAVO_TRY(const auto order, core::GetOptionalString(weights, "actorder"));
  if (bits.value_or(8) != 8 && *bits != 4)
    return core::Unsupported("'num_bits' " + std::to_string(*bits) + "; octavo runs 8 and 4");
  scheme.weight_bits = static_cast<int>(bits.value_or(8));
  if (order && *order == "group")
    return core::Unsupported("'actorder' group, whose columns lie in another order");
  const std::string kind = strategy.value_or(group_size.value_or(0) > 0 ? "group" : "channel");
  if (kind == "group") {
    if (group_size.value_or(0) < 1)
      return core::Invalid("'strategy' group needs a positive 'group_size'");
    scheme.group_size = *group_size;
  } else if (kind != "channel") {
    return core::Unsupported("weight 'strategy' " + core::Printable(kind) +
                             "; octavo runs channel and group");
  }
  return {};
}

core::Status ReadActivations(const Json& activations, Scheme& scheme) {
  OCTAVO_RETURN_IF_ERROR(RefuseUnknownArguments(activations));
  OCTAVO_RETURN_IF_ERROR(RequireInt(activations));
  OCTAVO_TRY(const auto bits, core::GetOptionalInt(activations, "num_bits"));
  OCTAVO_TRY(const auto strategy, core::GetOptionalString(activations, "strategy"));
  OCTAVO_TRY(const auto dynamic, core::GetOptionalBool(activations, "dynamic"));
  if (bits.value_or(8) != 8)
    return core::Unsupported("activations of " + std::to_string(*bits) + " bits");
  if (strategy.value_or("") == "token" && dynamic.value_or(false)) {
    scheme.activations = Activations::kDynamicPerToken;
  } else if (strategy.value_or("") == "tensor" && !dynamic.value_or(false)) {
    scheme.activations = Activations::kStaticPerTensor;
  } else {
    return core::Unsupported(
        "activations that are neither dynamic per token nor static per tensor");
  }
  return {};
}

// Whether the start of `text` matches, as Python's re.match has it. Plain text, '.', '*', '\.', a
// leading '^' and a final '$' are all that the patterns of published checkpoints need; CheckPattern
// refuses others and bounds the time that this can take.
bool MatchesPattern(std::string_view pattern, std::string_view text) {
  if (pattern.empty()) return true;
  if (pattern == "$") return text.empty();
  const bool escaped = pattern.size() > 1 && pattern[0] == '\\';
  const size_t width = escaped ? 2 : 1;
  const bool starred = pattern.size() > width && pattern[width] == '*';
  const auto fits = [&](char c) {
    return escaped ? c == pattern[1] : pattern[0] == '.' || pattern[0] == c;
  };
  if (!starred)
    return !text.empty() && fits(text[0]) && MatchesPattern(pattern.substr(width), text.substr(1));
  const std::string_view rest = pattern.substr(width + 1);
  for (size_t i = 0;; ++i) {
    if (MatchesPattern(rest, text.substr(i))) return true;
    if (i == text.size() || !fits(text[i])) return false;
  }
}

bool Matches(std::string_view target, std::string_view module) {
  if (target.substr(0, 3) != "re:") return target == module;
  std::string_view pattern = target.substr(3);
  if (!pattern.empty() && pattern.front() == '^') pattern.remove_prefix(1);
  return MatchesPattern(pattern, module);
}

// Whether a backslash stands before a letter or digit, where it makes a class of characters.
bool HasClassEscape(std::string_view pattern) {
  for (size_t i = 0; i + 1 < pattern.size(); ++i) {
    if (pattern[i] == '\\' && std::isalnum(static_cast<unsigned char>(pattern[++i])) != 0)
      return true;
  }
  return false;
}

core::Status CheckPattern(const std::string& target) {
  if (target.substr(0, 3) != "re:") return {};
  const auto stars = std::count(target.begin(), target.end(), '*');
  if (target.size() > 256 || stars > 4 || target.find_first_of("()[]{}|+?") != std::string::npos ||
      HasClassEscape(target)) {
    return core::Unsupported("pattern '" + core::Printable(target) +
                             "'; octavo reads plain text, '.', '\\.' and '*' in patterns");
  }
  return {};
}

// Names of classes begin with a capital and have no dot; "Linear" is the one that octavo runs
// quantized.
core::Status CheckTarget(const std::string& target) {
  const bool is_class = !target.empty() &&
                        std::isupper(static_cast<unsigned char>(target[0])) != 0 &&
                        target.find('.') == std::string::npos;
  if (is_class && target != "Linear") {
    return core::Unsupported("class '" + core::Printable(target) +
                             "'; octavo runs quantized Linear layers");
  }
  return CheckPattern(target);
}

// Formats pair with schemes.
core::Status CheckFormat(const std::string& format, const Scheme& scheme) {
  const std::string_view expected = FormatOf(scheme);
  if (format == expected) return {};
  return core::Unsupported("format '" + core::Printable(format) + "' for " +
                           tensor::SchemeName(scheme) + "; octavo reads it as " +
                           std::string(expected));
}

// Parts of the configuration that would change what a layer computes, beside its groups.
core::Status RefuseExtras(const Json& object) {
  for (const char* key : {"sparsity_config", "transform_config", "kv_cache_scheme"}) {
    const Json* extra = core::Find(object, key);
    if (extra != nullptr && !extra->empty())
      return core::Unsupported("a non-empty '" + std::string(key) + "'");
  }
  OCTAVO_TRY(const auto status, core::GetOptionalString(object, "quantization_status"));
  if (status.value_or("compressed") == "compressed") return {};
  return core::Unsupported("'quantization_status' " + core::Printable(*status) +
                           ", expected compressed");
}

}  // namespace

Json MakeQuantizationConfig(const std::vector<SchemeGroup>& groups,
                            const std::vector<std::string>& ignored) {
  Json config_groups = Json::object();
  bool same_format = true;
  for (const SchemeGroup& group : groups) {
    config_groups[fmt::format("group_{}", config_groups.size())] = MakeGroup(group);
    same_format = same_format && FormatOf(group.scheme) == FormatOf(groups.front().scheme);
  }
  for (size_t i = 0; i < groups.size() && !same_format; ++i)
    config_groups[fmt::format("group_{}", i)]["format"] = FormatOf(groups[i].scheme);
  return {{"quant_method", "compressed-tensors"},
          {"format",
           same_format ? FormatOf(groups.front().scheme) : std::string_view("mixed-precision")},
          {"quantization_status", "compressed"},
          {"config_groups", std::move(config_groups)},
          {"ignore", ignored},
          {"kv_cache_scheme", nullptr},
          {"global_compression_ratio", nullptr}};
}

core::Result<QuantizationConfig> QuantizationConfig::Parse(const Json& config) {
  QuantizationConfig out;
  const Json* object = core::Find(config, "quantization_config");
  if (object == nullptr) return out;
  const auto parse = [&]() -> core::Status {
    if (!object->is_object()) return core::Invalid("must be an object");
    OCTAVO_TRY(const std::string method, core::GetString(*object, "quant_method"));
    if (method != "compressed-tensors") {
      return core::Unsupported("quant_method '" + core::Printable(method) +
                               "'; octavo reads compressed-tensors");
    }
    OCTAVO_RETURN_IF_ERROR(RefuseExtras(*object));
    OCTAVO_TRY(const std::string format, core::GetString(*object, "format"));
    if (core::Find(*object, "ignore") != nullptr) {
      OCTAVO_TRY(out.ignore_, core::GetStrings(*object, "ignore"));
      for (const std::string& pattern : out.ignore_)
        OCTAVO_RETURN_IF_ERROR(CheckPattern(pattern).Context("ignore"));
    }
    const Json* groups = core::Find(*object, "config_groups");
    if (groups == nullptr || !groups->is_object())
      return core::Invalid("field 'config_groups' must be an object");
    if (groups->empty()) return core::Invalid("field 'config_groups' is empty");
    for (const auto& [name, json] : groups->get_ref<const Json::object_t&>()) {
      OCTAVO_RETURN_IF_ERROR(
          out.AddGroup(json, format).Context("config_groups." + core::Printable(name)));
    }
    return {};
  };
  OCTAVO_RETURN_IF_ERROR(parse().Context("quantization_config"));
  return out;
}

core::Status QuantizationConfig::AddGroup(const Json& json, const std::string& folder_format) {
  SchemeGroup group;
  OCTAVO_RETURN_IF_ERROR(core::RefuseUnknownKeys(
      json, {"targets", "weights", "input_activations", "output_activations", "format"}));
  OCTAVO_TRY(group.targets, core::GetStrings(json, "targets"));
  for (const std::string& target : group.targets)
    OCTAVO_RETURN_IF_ERROR(CheckTarget(target).Context("targets"));
  const Json* weights = core::Find(json, "weights");
  if (weights == nullptr) return core::Unsupported("a group without 'weights'");
  OCTAVO_RETURN_IF_ERROR(ReadWeights(*weights, group.scheme).Context("weights"));
  if (const Json* activations = core::Find(json, "input_activations")) {
    OCTAVO_RETURN_IF_ERROR(
        ReadActivations(*activations, group.scheme).Context("input_activations"));
  }
  if (core::Find(json, "output_activations") != nullptr)
    return core::Unsupported("quantized 'output_activations'");
  OCTAVO_TRY(const auto format, core::GetOptionalString(json, "format"));
  OCTAVO_RETURN_IF_ERROR(CheckFormat(format.value_or(folder_format), group.scheme));
  groups_.push_back(std::move(group));
  return {};
}

std::optional<Scheme> QuantizationConfig::SchemeOf(std::string_view module) const {
  for (const std::string& target : ignore_) {
    if (Matches(target, module)) return std::nullopt;
  }
  // An exact name or a pattern is more specific than the class.
  for (const SchemeGroup& group : groups_) {
    for (const std::string& target : group.targets) {
      if (target != "Linear" && Matches(target, module)) return group.scheme;
    }
  }
  // "Linear" is a class of modules; the embedding, which a tied head shares, is of another.
  constexpr std::string_view kEmbedding = "embed_tokens";
  if (module.size() >= kEmbedding.size() &&
      module.substr(module.size() - kEmbedding.size()) == kEmbedding) {
    return std::nullopt;
  }
  for (const SchemeGroup& group : groups_) {
    if (std::find(group.targets.begin(), group.targets.end(), "Linear") != group.targets.end())
      return group.scheme;
  }
  return std::nullopt;
}

}  // namespace octavo::format
