#include "compress/layer_plan.h"

#include <algorithm>
#include <regex>

#include <fmt/format.h>

#include "core/bytes.h"
#include "core/version.h"
#include "format/compressed_tensors.h"

namespace octavo::compress {
namespace {

// "down_proj=w8a16"; "=16" stands for the layer as it is.
core::Status ApplyRule(const std::string& rule, int64_t layers, LayerPlan& plan) {
  const size_t equals = rule.rfind('=');
  if (equals == std::string::npos || equals == 0) {
    return core::Usage("is no REGEX=SCHEME; for instance 'down_proj=w8a16' or 'layers\\.0\\.=16'");
  }
  OCTAVO_TRY(const tensor::Scheme scheme, tensor::ParseScheme(rule.substr(equals + 1)));
  int64_t found = 0;
  try {
    const std::regex pattern(rule.substr(0, equals), std::regex::extended);
    for (int64_t layer = 0; layer < layers; ++layer) {
      for (const FusedGroup group : kFusedGroups) {
        for (const std::string& module : FusedGroupModules(layer, group)) {
          if (!std::regex_search(module, pattern)) continue;
          plan.others[{layer, group}] = scheme;
          ++found;
        }
      }
    }
  } catch (const std::regex_error& error) {
    return core::Usage(fmt::format("is no regular expression: {}", error.what()));
  }
  if (found == 0)
    return core::Usage("finds none of the layers (model.layers.0.mlp.down_proj, ...)");
  return {};
}

}  // namespace

const tensor::Scheme& LayerPlan::of(int64_t layer, FusedGroup group) const {
  const auto other = others.find({layer, group});
  return other == others.end() ? blocks : other->second;
}

bool LayerPlan::quantizes() const {
  if (blocks.weight_bits < 16 || head.has_value()) return true;
  for (const auto& [place, scheme] : others) {
    if (scheme.weight_bits < 16) return true;
  }
  return false;
}

bool LayerPlan::has_static() const {
  const auto is_static = [](const tensor::Scheme& scheme) {
    return scheme.activations == tensor::Activations::kStaticPerTensor;
  };
  return is_static(blocks) || std::any_of(others.begin(), others.end(), [&](const auto& other) {
           return is_static(other.second);
         });
}

core::Result<LayerPlan> PlanLayers(const std::string& scheme, int head_bits) {
  LayerPlan plan;
  OCTAVO_TRY(plan.blocks, tensor::ParseScheme(scheme));
  if (head_bits != 16 && head_bits != 8)
    return core::Usage(fmt::format("a head of {} bits; expected 16 or 8", head_bits));
  if (head_bits == 8) {
    // The head's input is another in every token: static scales are for the blocks.
    const bool integer = plan.blocks.activations != tensor::Activations::kFloat;
    plan.head = tensor::Scheme{
        8, 0, integer ? tensor::Activations::kDynamicPerToken : tensor::Activations::kFloat};
  }
  return plan;
}

core::Status ApplyRules(const std::vector<std::string>& rules, int64_t layers, LayerPlan& plan) {
  for (const std::string& rule : rules) {
    OCTAVO_RETURN_IF_ERROR(
        ApplyRule(rule, layers, plan).Context("--keep '" + core::Printable(rule) + "'"));
  }
  return {};
}

core::Json PlannedConfig(const core::Json& base_config, const LayerPlan& plan, int64_t layers,
                         bool untied) {
  core::Json config = base_config;
  if (untied) config["tie_word_embeddings"] = false;
  std::vector<format::SchemeGroup> groups;
  if (plan.blocks.weight_bits < 16) groups.push_back({{"Linear"}, plan.blocks});
  std::vector<std::string> ignored;
  const auto name = [&](const std::string& module, const tensor::Scheme& scheme) {
    if (scheme == plan.blocks) return;
    if (scheme.weight_bits == 16) {
      ignored.push_back(module);
      return;
    }
    for (format::SchemeGroup& group : groups) {
      if (group.scheme != scheme || group.targets[0] == "Linear") continue;
      group.targets.push_back(module);
      return;
    }
    groups.push_back({{module}, scheme});
  };
  for (int64_t layer = 0; layer < layers; ++layer) {
    for (const FusedGroup group : kFusedGroups) {
      for (const std::string& module : FusedGroupModules(layer, group))
        name(module, plan.of(layer, group));
    }
  }
  if (plan.head) name(kHeadModule, *plan.head);
  if (groups.empty()) return config;
  if (!plan.head) ignored.push_back(kHeadModule);
  config["quantization_config"] = format::MakeQuantizationConfig(groups, ignored);
  return config;
}

}  // namespace octavo::compress
