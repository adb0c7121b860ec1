// The tap: a look at the input of each linear layer, for observers, from the one forward pass.
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "model/linear.h"

namespace octavo::model {

// Told the layer index (-1: lm_head), the linear layers that share the input, and the input [rows,
// K] f32.
using Tap = std::function<void(int64_t layer, std::span<const Linear* const> linears,
                               const float* input, int64_t rows)>;

}  // namespace octavo::model
