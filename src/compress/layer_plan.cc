#include "compress/layer_plan.h"

#include <utility>
#include <vector>

#include <fmt/format.h>

#include "core/version.h"
#include "format/compressed_tensors.h"

namespace octavo::compress {

core::Result<LayerPlan> PlanLayers(const std::string& scheme, int head_bits) {
  LayerPlan plan;
  OCTAVO_TRY(plan.blocks, tensor::ParseScheme(scheme));
  if (plan.blocks.activations == tensor::Activations::kStaticPerTensor || plan.blocks.per_tensor) {
    return core::Usage(fmt::format(
        "scheme '{}' is not available in octavo {}; available: w8a16, w8a16-gN, w8a8, w4a16-gN, "
        "w4a8-gN",
        scheme, core::kVersion));
  }
  if (head_bits != 16 && head_bits != 8)
    return core::Usage(fmt::format("a head of {} bits; expected 16 or 8", head_bits));
  if (head_bits == 8) plan.head = tensor::Scheme{8, 0, plan.blocks.activations};
  return plan;
}

core::Json PlannedConfig(const core::Json& base_config, const LayerPlan& plan) {
  core::Json config = base_config;
  if (plan.head) config["tie_word_embeddings"] = false;
  std::vector<format::SchemeGroup> groups;
  if (plan.blocks.weight_bits < 16) groups.push_back({{"Linear"}, plan.blocks});
  if (plan.head && *plan.head != plan.blocks) groups.push_back({{kHeadModule}, *plan.head});
  if (groups.empty()) return config;
  std::vector<std::string> ignored;
  if (!plan.head) ignored.push_back(kHeadModule);
  config["quantization_config"] = format::MakeQuantizationConfig(groups, ignored);
  return config;
}

}  // namespace octavo::compress
