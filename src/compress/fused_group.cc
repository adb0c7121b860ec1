#include "compress/fused_group.h"

#include "core/check.h"

namespace octavo::compress {

std::string_view FusedGroupName(FusedGroup group) {
  constexpr std::array<std::string_view, 4> kNames = {"qkv", "o", "gate_up", "down"};
  return kNames[static_cast<size_t>(group)];
}

FusedGroup FusedGroupOf(std::string_view module) {
  for (size_t i = 0; i < kBlockModules.size(); ++i) {
    if (module.ends_with(kBlockModules[i])) return kGroupOfModule[i];
  }
  OCTAVO_CHECK(false);  // no module of a block
  return FusedGroup::kQkv;
}

std::string LayerPrefix(int64_t layer) {
  return "model.layers." + std::to_string(layer) + ".";
}

std::vector<std::string> FusedGroupModules(int64_t layer, FusedGroup group) {
  std::vector<std::string> out;
  for (size_t i = 0; i < kBlockModules.size(); ++i) {
    if (kGroupOfModule[i] == group)
      out.push_back(LayerPrefix(layer) + std::string(kBlockModules[i]));
  }
  return out;
}

}  // namespace octavo::compress
