// The quantization_config object of config.json: written in the classic keys, read with every
// surprise refused by name.

#include <algorithm>
#include <cctype>
#include <utility>

#include <fmt/format.h>

#include "format/compressed_tensors.h"

namespace octavo::format {
namespace {

using core::Json;
using tensor::Activations;
using tensor::Scheme;

constexpr char kOwnMethod[] = "octavo";
constexpr int64_t kMaxRotation = int64_t{1} << 24;

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

const char* WeightStrategy(const Scheme& scheme) {
  if (scheme.per_tensor) return "tensor";
  return scheme.group_size > 0 ? "group" : "channel";
}

Json MakeGroup(const SchemeGroup& group) {
  const Scheme& scheme = group.scheme;
  const bool is_static = scheme.activations == Activations::kStaticPerTensor;
  Json activations;
  if (scheme.activations != Activations::kFloat)
    activations = MakeArguments(8, is_static ? "tensor" : "token", 0, !is_static);
  return {{"targets", group.targets},
          {"weights",
           MakeArguments(scheme.weight_bits, WeightStrategy(scheme), scheme.group_size, false)},
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
  // "static" and "dynamic" are newer names of "weight" and "group".
  if (order && *order != "weight" && *order != "static") {
    return core::Unsupported("'actorder' " + core::Printable(*order) +
                             ", whose columns lie in another order; octavo runs weight (static)");
  }
  const std::string kind = strategy.value_or(group_size.value_or(0) > 0 ? "group" : "channel");
  if (kind == "group") {
    if (group_size.value_or(0) < 1)
      return core::Invalid("'strategy' group needs a positive 'group_size'");
    scheme.group_size = *group_size;
  } else if (kind == "tensor") {
    scheme.per_tensor = true;
  } else if (kind != "channel") {
    return core::Unsupported("weight 'strategy' " + core::Printable(kind) +
                             "; octavo runs channel, group and tensor");
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

constexpr std::string_view kPatternMark = "re:";
constexpr std::string_view kLinearClass = "Linear";
constexpr std::string_view kHead = "lm_head";

bool Contains(const std::vector<std::string>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// Names of classes begin with a capital and have no dot; "Linear" is the one that octavo runs
// quantized.
core::Status CheckClass(const std::string& target) {
  const bool is_class = !target.empty() &&
                        std::isupper(static_cast<unsigned char>(target[0])) != 0 &&
                        target.find('.') == std::string::npos;
  if (!is_class || target == kLinearClass) return {};
  return core::Unsupported("class '" + core::Printable(target) +
                           "'; octavo runs quantized Linear layers");
}

// Where codes lie: the readers of both layouts look at the tensors that are there, so either may
// hold any scheme.
core::Status CheckFormat(const std::string& format) {
  for (const std::string_view known : {"pack-quantized", "int-quantized", "naive-quantized"}) {
    if (format == known) return {};
  }
  return core::Unsupported("format '" + core::Printable(format) +
                           "'; octavo reads pack-quantized, int-quantized and naive-quantized");
}

// {"down_proj": {"order": K, "seed": S}}; a seed may take all 64 bits.
core::Result<OnlineRotation> ReadOnlineRotation(const Json& json) {
  if (!json.is_object()) return core::Invalid("must be an object");
  OCTAVO_RETURN_IF_ERROR(core::RefuseUnknownKeys(json, {"down_proj"}));
  const Json* down = core::Find(json, "down_proj");
  if (down == nullptr || !down->is_object())
    return core::Invalid("field 'down_proj' must be an object");
  OCTAVO_RETURN_IF_ERROR(core::RefuseUnknownKeys(*down, {"order", "seed"}));
  OnlineRotation out;
  OCTAVO_TRY(out.order, core::GetInt(*down, "order"));
  if (out.order < 1 || out.order > kMaxRotation) {
    return core::Invalid("field 'order' is " + std::to_string(out.order) + ", expected 1 to " +
                         std::to_string(kMaxRotation));
  }
  const Json* seed = core::Find(*down, "seed");
  if (seed == nullptr || !seed->is_number_unsigned())
    return core::Invalid("field 'seed' must be a whole number from 0 on");
  out.seed = seed->get<uint64_t>();
  return out;
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
  bool head_is_named = Contains(ignored, kHead);
  for (const SchemeGroup& group : groups)
    head_is_named = head_is_named || Contains(group.targets, kHead);
  for (const SchemeGroup& group : groups) {
    Json& made = config_groups[fmt::format("group_{}", config_groups.size())];
    made = MakeGroup(group);
    // vLLM's head is of another class, and quantized only where it is named.
    if (!head_is_named && Contains(group.targets, kLinearClass)) made["targets"].push_back(kHead);
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

Json MakeQuantizationConfig(const std::vector<LayerScheme>& layers) {
  std::vector<SchemeGroup> groups;
  std::vector<std::string> ignored;
  for (const LayerScheme& layer : layers) {
    if (layer.scheme.weight_bits == 16) {
      ignored.push_back(layer.module);
      continue;
    }
    const auto same = [&](const SchemeGroup& group) { return group.scheme == layer.scheme; };
    const auto found = std::find_if(groups.begin(), groups.end(), same);
    if (found == groups.end()) {
      groups.push_back({{layer.module}, layer.scheme});
    } else {
      found->targets.push_back(layer.module);
    }
  }
  OCTAVO_CHECK(!groups.empty());
  // The class stands for the many, which keeps the object readable; of equals, the first.
  const auto fewer = [](const SchemeGroup& a, const SchemeGroup& b) {
    return a.targets.size() < b.targets.size();
  };
  std::max_element(groups.begin(), groups.end(), fewer)->targets = {std::string(kLinearClass)};
  return MakeQuantizationConfig(groups, ignored);
}

Json WithOnlineRotation(Json quantization_config, const OnlineRotation& down_proj) {
  quantization_config["quant_method"] = kOwnMethod;
  quantization_config["online_rotation"] = {
      {"down_proj", {{"order", down_proj.order}, {"seed", down_proj.seed}}}};
  return quantization_config;
}

core::Result<QuantizationConfig> QuantizationConfig::Parse(const Json& config) {
  QuantizationConfig out;
  const Json* object = core::Find(config, "quantization_config");
  if (object == nullptr) return out;
  const auto parse = [&]() -> core::Status {
    if (!object->is_object()) return core::Invalid("must be an object");
    OCTAVO_TRY(const std::string method, core::GetString(*object, "quant_method"));
    const Json* rotation = core::Find(*object, "online_rotation");
    if (method == kOwnMethod) {
      if (rotation == nullptr)
        return core::Invalid("quant_method 'octavo' without 'online_rotation'");
      OCTAVO_TRY(out.down_rotation_, ReadOnlineRotation(*rotation).Context("online_rotation"));
    } else if (method != "compressed-tensors") {
      return core::Unsupported("quant_method '" + core::Printable(method) +
                               "'; octavo reads compressed-tensors");
    } else if (rotation != nullptr) {
      // Another loader would leave the rotation out.
      return core::Invalid("'online_rotation' needs quant_method 'octavo'");
    }
    OCTAVO_RETURN_IF_ERROR(RefuseExtras(*object));
    const Json* groups = core::Find(*object, "config_groups");
    // A model of 16 bits may be rotated, too.
    if (out.down_rotation_ && (groups == nullptr || groups->empty())) return {};
    OCTAVO_RETURN_IF_ERROR(out.ReadGroups(*object));
    return {};
  };
  OCTAVO_RETURN_IF_ERROR(parse().Context("quantization_config"));
  return out;
}

core::Status QuantizationConfig::ReadGroups(const Json& object) {
  OCTAVO_TRY(const std::string format, core::GetString(object, "format"));
  if (core::Find(object, "ignore") != nullptr) {
    OCTAVO_TRY(const auto ignored, core::GetStrings(object, "ignore"));
    for (const std::string& target : ignored)
      OCTAVO_RETURN_IF_ERROR(ignored_.Add(target).Context("ignore"));
  }
  const Json* groups = core::Find(object, "config_groups");
  if (groups == nullptr || !groups->is_object())
    return core::Invalid("field 'config_groups' must be an object");
  if (groups->empty()) return core::Invalid("field 'config_groups' is empty");
  for (const auto& [name, json] : groups->get_ref<const Json::object_t&>()) {
    OCTAVO_RETURN_IF_ERROR(
        AddGroup(json, format).Context("config_groups." + core::Printable(name)));
  }
  return {};
}

core::Status QuantizationConfig::AddGroup(const Json& json, const std::string& folder_format) {
  Group group;
  OCTAVO_RETURN_IF_ERROR(core::RefuseUnknownKeys(
      json, {"targets", "weights", "input_activations", "output_activations", "format"}));
  OCTAVO_TRY(const auto targets, core::GetStrings(json, "targets"));
  for (const std::string& target : targets) {
    OCTAVO_RETURN_IF_ERROR(CheckClass(target).Context("targets"));
    OCTAVO_RETURN_IF_ERROR(group.targets.Add(target).Context("targets"));
  }
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
  OCTAVO_RETURN_IF_ERROR(CheckFormat(format.value_or(folder_format)));
  groups_.push_back(std::move(group));
  return {};
}

core::Status QuantizationConfig::Targets::Add(const std::string& target) {
  if (!target.starts_with(kPatternMark)) {
    names.insert(target);
    return {};
  }
  OCTAVO_TRY(core::Pattern pattern,
             core::Pattern::Parse(std::string_view(target).substr(kPatternMark.size())));
  patterns.push_back(std::move(pattern));
  return {};
}

bool QuantizationConfig::Targets::Match(std::string_view module) const {
  return std::any_of(patterns.begin(), patterns.end(),
                     [&](const core::Pattern& pattern) { return pattern.MatchesStart(module); });
}

std::optional<Scheme> QuantizationConfig::SchemeOf(std::string_view module) const {
  const std::string name(module);
  if (ignored_.names.contains(name) || ignored_.Match(module)) return std::nullopt;
  // From the most specific to the least: a name, a pattern, the class.
  for (const Group& group : groups_) {
    if (group.targets.names.contains(name)) return group.scheme;
  }
  for (const Group& group : groups_) {
    if (group.targets.Match(module)) return group.scheme;
  }
  // "Linear" is a class of modules; the embedding, which a tied head shares, is of another.
  if (module.ends_with("embed_tokens")) return std::nullopt;
  for (const Group& group : groups_) {
    if (group.targets.names.contains(std::string(kLinearClass))) return group.scheme;
  }
  return std::nullopt;
}

}  // namespace octavo::format
