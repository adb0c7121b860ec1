#include "compress/bit_budget.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include <fmt/format.h>

namespace octavo::compress {
namespace {

// Bits are counted in steps of the budget, rounded up, so that no choice exceeds it.
constexpr int64_t kStepsPerItem = 100;
constexpr int64_t kLeastSteps = 10000;

}  // namespace

core::Result<std::vector<size_t>> SpendBits(std::span<const BudgetItem> items, double budget_bits) {
  double least = 0;
  for (const BudgetItem& item : items) {
    double cheapest = std::numeric_limits<double>::infinity();
    for (const BudgetOption& option : item) cheapest = std::min(cheapest, option.bits);
    least += cheapest;
  }
  if (least > budget_bits) {
    return core::Usage(fmt::format("{:.0f} bits are not enough: the smallest schemes take {:.0f}",
                                   budget_bits, least));
  }
  // What the cheapest options leave is shared out: rounding up costs less than a step an item.
  const auto count = static_cast<int64_t>(items.size());
  const int64_t steps = std::max(kLeastSteps, count * kStepsPerItem);
  const double spare = budget_bits - least;
  const double step = std::max(spare / static_cast<double>(steps), budget_bits * 1e-12);
  const auto width = static_cast<size_t>(steps + 1);

  constexpr double kNever = std::numeric_limits<double>::infinity();
  std::vector<double> best(width, 0.0);
  std::vector<std::vector<uint8_t>> chosen(items.size(), std::vector<uint8_t>(width, 0));
  for (size_t i = 0; i < items.size(); ++i) {
    double cheapest = kNever;
    for (const BudgetOption& option : items[i]) cheapest = std::min(cheapest, option.bits);
    std::vector<double> next(width, kNever);
    for (size_t o = 0; o < items[i].size(); ++o) {
      const double over = (items[i][o].bits - cheapest) / step;
      if (over > static_cast<double>(steps)) continue;
      const auto cost = static_cast<size_t>(std::ceil(over - 1e-9));
      for (size_t at = cost; at < width; ++at) {
        const double loss = best[at - cost] + items[i][o].loss;
        if (loss >= next[at]) continue;
        next[at] = loss;
        chosen[i][at] = static_cast<uint8_t>(o);
      }
    }
    best = std::move(next);
  }
  std::vector<size_t> out(items.size());
  auto at = width - 1;
  for (size_t i = items.size(); i-- > 0;) {
    out[i] = chosen[i][at];
    double cheapest = kNever;
    for (const BudgetOption& option : items[i]) cheapest = std::min(cheapest, option.bits);
    at -= static_cast<size_t>(std::ceil((items[i][out[i]].bits - cheapest) / step - 1e-9));
  }
  return out;
}

}  // namespace octavo::compress
