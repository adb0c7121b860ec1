// Which scheme each group of layers gets when all together may take so many bits: a knapsack with
// one choice a group.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/result.h"

namespace octavo::compress {

struct BudgetOption {
  double bits = 0;  // of all the group's weights, scales included
  double loss = 0;
};
// At least one option each.
using BudgetItem = std::vector<BudgetOption>;

// The index of one option for each item, of least total loss among the choices whose bits sum to at
// most `budget_bits` (to within a hundredth of a percent of the budget, which is never exceeded). A
// budget below the smallest possible sum is a Usage error that says what that is, in bits.
core::Result<std::vector<size_t>> SpendBits(std::span<const BudgetItem> items, double budget_bits);

}  // namespace octavo::compress
