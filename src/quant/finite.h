// Weights that no integer can hold are refused by index, by every method in the same words.
#pragma once

#include <cstdint>
#include <span>

#include "core/result.h"

namespace octavo::quant {

// The error for weight `index` (row-major in a matrix of k inputs), which is NaN or infinite.
core::Error NotFinite(int64_t index, int64_t k, float value);

// An Error that names the first weight of [N, k] that is NaN or infinite, if there is one.
core::Status CheckFinite(std::span<const float> weight, int64_t k);

}  // namespace octavo::quant
