#include "compress/bit_budget.h"

#include <cmath>

#include <gtest/gtest.h>

#include "core/random.h"

namespace octavo::compress {
namespace {

struct Total {
  double bits = 0;
  double loss = 0;
};

Total Sum(std::span<const BudgetItem> items, std::span<const size_t> chosen) {
  Total out;
  for (size_t i = 0; i < items.size(); ++i) {
    out.bits += items[i][chosen[i]].bits;
    out.loss += items[i][chosen[i]].loss;
  }
  return out;
}

// By trying everything.
double LeastLoss(std::span<const BudgetItem> items, double budget) {
  double least = INFINITY;
  std::vector<size_t> chosen(items.size(), 0);
  for (;;) {
    const Total total = Sum(items, chosen);
    if (total.bits <= budget) least = std::min(least, total.loss);
    size_t i = 0;
    while (i < items.size() && ++chosen[i] == items[i].size()) chosen[i++] = 0;
    if (i == items.size()) return least;
  }
}

TEST(BitBudget, FindsTheLeastLoss) {
  core::Random random(3);
  for (int round = 0; round < 50; ++round) {
    std::vector<BudgetItem> items(6);
    double least = 0;
    double most = 0;
    for (BudgetItem& item : items) {
      const double weights = 100 + static_cast<double>(random.Below(900));
      const double sensitivity = random.Uniform();
      item = {{4.25 * weights, sensitivity},
              {4.5 * weights, sensitivity * 0.7},
              {8 * weights, sensitivity * 0.004}};
      least += item.front().bits;
      most += item.back().bits;
    }
    const double budget = least + random.Uniform() * (most - least);
    const auto chosen = SpendBits(items, budget);
    ASSERT_TRUE(chosen.ok());
    const Total total = Sum(items, chosen.value());
    EXPECT_LE(total.bits, budget);
    // Rounding up may cost a thousandth of what is spare.
    EXPECT_LE(total.loss, LeastLoss(items, budget - (budget - least) * 1e-3) + 1e-12);
  }
}

TEST(BitBudget, ALargeBudgetBuysTheBestEverywhere) {
  const std::vector<BudgetItem> items(3, {{4, 1.0}, {8, 0.1}, {16, 0.0}});
  const auto chosen = SpendBits(items, 1000);
  ASSERT_TRUE(chosen.ok());
  EXPECT_EQ(chosen.value(), (std::vector<size_t>{2, 2, 2}));
}

TEST(BitBudget, ExactlyTheSmallestIsEnough) {
  const std::vector<BudgetItem> items(3, {{8, 0.1}, {4, 1.0}});
  const auto chosen = SpendBits(items, 12);
  ASSERT_TRUE(chosen.ok());
  EXPECT_EQ(chosen.value(), (std::vector<size_t>{1, 1, 1}));
}

TEST(BitBudget, LessThanTheSmallestIsRefused) {
  const std::vector<BudgetItem> items(3, {{4, 1.0}, {8, 0.1}});
  const auto chosen = SpendBits(items, 11);
  ASSERT_FALSE(chosen.ok());
  EXPECT_NE(chosen.error().message().find("take 12"), std::string::npos);
}

}  // namespace
}  // namespace octavo::compress
