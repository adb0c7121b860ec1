// Which layers of a model get which scheme, and how config.json says so.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "compress/fused_group.h"
#include "core/json.h"
#include "core/result.h"
#include "tensor/quant_spec.h"

namespace octavo::compress {

inline constexpr char kHeadModule[] = "lm_head";
inline constexpr char kEmbeddingModule[] = "model.embed_tokens";

struct LayerPlan {
  tensor::Scheme blocks;               // of every group that `others` does not name
  std::optional<tensor::Scheme> head;  // nullopt: as it is stored
  std::map<std::pair<int64_t, FusedGroup>, tensor::Scheme> others;

  const tensor::Scheme& of(int64_t layer, FusedGroup group) const;
  bool quantizes() const;
  // Whether some group has static activations, whose scales come from a calibration.
  bool has_static() const;
};

// scheme: a name that tensor::ParseScheme knows and this version runs, "16" included; head_bits: 16
// or 8, one scale per output, with the activations of the blocks. Errors are of usage.
core::Result<LayerPlan> PlanLayers(const std::string& scheme, int head_bits);
// Each of `rules` is REGEX=SCHEME ("down_proj=w8a16", "layers\.(0|29)\.=16"): every group of the
// model's `layers` with a module that the pattern finds gets that scheme, later rules over earlier
// ones. A rule that finds none is an Error.
core::Status ApplyRules(const std::vector<std::string>& rules, int64_t layers, LayerPlan& plan);

// config.json of a model of so many layers with this plan, from that of its 16-bit base; `untied`:
// lm_head is a tensor of its own.
core::Json PlannedConfig(const core::Json& base_config, const LayerPlan& plan, int64_t layers,
                         bool untied);

}  // namespace octavo::compress
