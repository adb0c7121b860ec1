#include "format/weight_names.h"

#include <charconv>

namespace octavo::format {
namespace {

constexpr WeightName kNames[] = {
    {"token_embd", "model.embed_tokens"},
    {"blk.{}.attn_norm", "model.layers.{}.input_layernorm"},
    {"blk.{}.attn_q", "model.layers.{}.self_attn.q_proj", RowOrder::kQueryHeads},
    {"blk.{}.attn_k", "model.layers.{}.self_attn.k_proj", RowOrder::kKeyHeads},
    {"blk.{}.attn_v", "model.layers.{}.self_attn.v_proj"},
    {"blk.{}.attn_output", "model.layers.{}.self_attn.o_proj"},
    {"blk.{}.attn_q_norm", "model.layers.{}.self_attn.q_norm"},
    {"blk.{}.attn_k_norm", "model.layers.{}.self_attn.k_norm"},
    {"blk.{}.ffn_norm", "model.layers.{}.post_attention_layernorm"},
    {"blk.{}.ffn_gate", "model.layers.{}.mlp.gate_proj"},
    {"blk.{}.ffn_up", "model.layers.{}.mlp.up_proj"},
    {"blk.{}.ffn_down", "model.layers.{}.mlp.down_proj"},
    {"output_norm", "model.norm"},
    {"output", "lm_head"},
};
constexpr std::string_view kLayerMark = "{}";

// The layer if `module` is `pattern` with a number for "{}" (-1 for a pattern without).
std::optional<int64_t> MatchModule(std::string_view pattern, std::string_view module) {
  const size_t mark = pattern.find(kLayerMark);
  if (mark == std::string_view::npos) return module == pattern ? std::optional(-1) : std::nullopt;
  const std::string_view head = pattern.substr(0, mark);
  const std::string_view tail = pattern.substr(mark + kLayerMark.size());
  if (module.size() <= head.size() + tail.size() || module.substr(0, head.size()) != head ||
      module.substr(module.size() - tail.size()) != tail) {
    return std::nullopt;
  }
  const std::string_view digits =
      module.substr(head.size(), module.size() - head.size() - tail.size());
  int64_t layer = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), layer);
  // "07" and "-1" are other names for no layer.
  if (error != std::errc() || std::to_string(layer) != digits || layer < 0) return std::nullopt;
  return layer;
}

std::optional<WeightId> Find(std::string_view name, std::string_view WeightName::*side) {
  for (const std::string_view suffix : {".weight", ".bias"}) {
    if (name.size() < suffix.size() || name.substr(name.size() - suffix.size()) != suffix) continue;
    const std::string_view module = name.substr(0, name.size() - suffix.size());
    for (const WeightName& row : kNames) {
      const auto layer = MatchModule(row.*side, module);
      if (layer) return WeightId{&row, *layer, suffix};
    }
  }
  return std::nullopt;
}

std::string Spell(std::string_view pattern, const WeightId& id) {
  std::string out(pattern);
  const size_t mark = out.find(kLayerMark);
  if (mark != std::string::npos) out.replace(mark, kLayerMark.size(), std::to_string(id.layer));
  return out.append(id.suffix);
}

}  // namespace

std::span<const WeightName> WeightNames() {
  return kNames;
}

std::optional<WeightId> FindGgufName(std::string_view gguf_name) {
  return Find(gguf_name, &WeightName::gguf);
}

std::optional<WeightId> FindHfName(std::string_view hf_name) {
  return Find(hf_name, &WeightName::hf);
}

std::string GgufName(const WeightId& id) {
  return Spell(id.name->gguf, id);
}

std::string HfName(const WeightId& id) {
  return Spell(id.name->hf, id);
}

}  // namespace octavo::format
