// Linear layers of a block that share one input: servers fuse them, so they share a scheme.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace octavo::compress {

enum class FusedGroup : uint8_t { kQkv, kO, kGateUp, kDown };
inline constexpr std::array<FusedGroup, 4> kFusedGroups = {FusedGroup::kQkv, FusedGroup::kO,
                                                           FusedGroup::kGateUp, FusedGroup::kDown};
// The linear layers of a block in the order of the forward pass, and the group of each.
inline constexpr std::array<std::string_view, 7> kBlockModules = {
    "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
    "mlp.gate_proj",    "mlp.up_proj",      "mlp.down_proj"};
inline constexpr std::array<FusedGroup, 7> kGroupOfModule = {
    FusedGroup::kQkv,    FusedGroup::kQkv,    FusedGroup::kQkv, FusedGroup::kO,
    FusedGroup::kGateUp, FusedGroup::kGateUp, FusedGroup::kDown};

// "qkv", "o", "gate_up", "down".
std::string_view FusedGroupName(FusedGroup group);
// Of a block's module by its name; the end decides ("model.layers.3.self_attn.k_proj" is in kQkv).
FusedGroup FusedGroupOf(std::string_view module);
// "model.layers.3."
std::string LayerPrefix(int64_t layer);
// The modules of one group, in Hugging Face's names.
std::vector<std::string> FusedGroupModules(int64_t layer, FusedGroup group);

}  // namespace octavo::compress
