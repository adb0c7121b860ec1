#include "compress/mixed_plan.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include <fmt/format.h>

#include "compress/bit_budget.h"
#include "core/bytes.h"

namespace octavo::compress {

core::Result<std::optional<double>> ParseMixed(const std::string& scheme) {
  constexpr std::string_view kPrefix = "mixed:";
  if (!scheme.starts_with(kPrefix)) return std::optional<double>();
  double bits = 0;
  const char* end = scheme.data() + scheme.size();
  const auto [stop, error] = std::from_chars(scheme.data() + kPrefix.size(), end, bits);
  if (error != std::errc() || stop != end || !(bits > 0 && bits <= 16)) {
    return core::Usage(
        fmt::format("scheme '{}': expected mixed: and the bits of a weight, such as "
                    "mixed:5.5",
                    core::Printable(scheme)));
  }
  return std::optional<double>(bits);
}

std::vector<tensor::Scheme> MixedMenu() {
  // The divergence is measured with the first.
  return {{4, 32, tensor::Activations::kFloat},
          {4, 16, tensor::Activations::kFloat},
          {4, 64, tensor::Activations::kFloat},
          {4, 128, tensor::Activations::kFloat},
          {8, 0, tensor::Activations::kFloat}};
}

core::Result<LayerPlan> PlanMixed(std::span<const GroupSensitivity> groups, double bits_per_weight,
                                  int head_bits) {
  std::vector<BudgetItem> items;
  double weights = 0;
  for (const GroupSensitivity& group : groups) {
    BudgetItem item;
    for (const GroupSensitivity::Loss& loss : group.losses) item.push_back({loss.bits, loss.kld});
    if (item.empty()) {
      return core::Unsupported(
          fmt::format("none of the schemes of a mixed plan fits group {} of "
                      "block {}",
                      FusedGroupName(group.group), group.layer));
    }
    items.push_back(std::move(item));
    weights += static_cast<double>(group.weights);
  }
  OCTAVO_TRY(const std::vector<size_t> chosen,
             SpendBits(items, bits_per_weight * weights)
                 .Context(fmt::format("mixed:{} for {:.0f} weights", bits_per_weight, weights)));
  std::vector<std::pair<tensor::Scheme, int64_t>> counts;
  LayerPlan plan;
  for (size_t i = 0; i < groups.size(); ++i) {
    const tensor::Scheme& scheme = groups[i].losses[chosen[i]].scheme;
    plan.others[{groups[i].layer, groups[i].group}] = scheme;
    auto count = std::find_if(counts.begin(), counts.end(),
                              [&](const auto& entry) { return entry.first == scheme; });
    if (count == counts.end()) count = counts.insert(count, {scheme, 0});
    ++count->second;
  }
  const auto most =
      std::max_element(counts.begin(), counts.end(),
                       [](const auto& a, const auto& b) { return a.second < b.second; });
  plan.blocks = most->first;
  std::erase_if(plan.others, [&](const auto& entry) { return entry.second == plan.blocks; });
  if (head_bits == 8) plan.head = tensor::Scheme{8, 0, tensor::Activations::kFloat};
  return plan;
}

}  // namespace octavo::compress
