// Mixed precision: a budget of bits a weight, spent where it costs the model least.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "compress/layer_plan.h"
#include "compress/sensitivity.h"
#include "core/result.h"

namespace octavo::compress {

// "mixed:5.5" is a budget of 5.5 bits a weight of the blocks' linear layers, scales included;
// nullopt: another kind of name. A number out of (0, 16] is a Usage error.
core::Result<std::optional<double>> ParseMixed(const std::string& scheme);
// The schemes that a mixed plan chooses from.
std::vector<tensor::Scheme> MixedMenu();
// The plan of least total divergence within the budget; the most frequent scheme is that of the
// blocks, the others are named. A budget that is too small is a Usage error.
core::Result<LayerPlan> PlanMixed(std::span<const GroupSensitivity> groups, double bits_per_weight,
                                  int head_bits);

}  // namespace octavo::compress
