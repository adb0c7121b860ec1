// Which layers of a model get which scheme, and how config.json says so.
#pragma once

#include <optional>
#include <string>

#include "core/json.h"
#include "core/result.h"
#include "tensor/quant_spec.h"

namespace octavo::compress {

inline constexpr char kHeadModule[] = "lm_head";
inline constexpr char kEmbeddingModule[] = "model.embed_tokens";

struct LayerPlan {
  tensor::Scheme blocks;               // q, k, v, o, gate, up and down of every block
  std::optional<tensor::Scheme> head;  // nullopt: as it is stored

  bool quantizes() const { return blocks.weight_bits < 16 || head.has_value(); }
};

// scheme: a name that tensor::ParseScheme knows and this version runs, "16" included; head_bits: 16
// or 8, one scale per output, with the activations of the blocks. Errors are of usage.
core::Result<LayerPlan> PlanLayers(const std::string& scheme, int head_bits);
// config.json of a model with this plan, from that of its 16-bit base: a head that is quantized is
// no longer tied to the embedding.
core::Json PlannedConfig(const core::Json& base_config, const LayerPlan& plan);

}  // namespace octavo::compress
