// The scale of a group of weights: its largest magnitude, or the smaller one that clips a few
// weights and rounds all others more finely.
#pragma once

#include <span>

#include "tensor/dtype.h"

namespace octavo::quant {

enum class Clip {
  kNone,  // absmax / 127 (or / 7)
  kMse,   // the candidate of least squared error
};

// Clip::kNone for weights of this largest magnitude: absmax / 127 (or / 7), rounded to
// `scale_dtype`; 1 where that is zero. absmax must be finite.
float PlainScale(float absmax, int bits, tensor::DType scale_dtype);

// The scale (rounded to `scale_dtype`) for weights that share one, codes of 8 or 4 bits. With
// Clip::kMse it is absmax / 127 (or / 7) times the factor among 1, 0.99, ..., 0.8 (4 bits: 1,
// 79/80, ..., 40/80) of least sum over i of importance[i] * (weights[i] - scale * code)^2, the
// largest where several tie; 7/8 is among them for 4 bits, where -8 then takes a negative extreme.
// `importance`: as long as the weights, not negative, or empty for ones; a layer's is the diagonal
// of its inputs' second moments, the expected squared error of the output by this input alone. A
// group of zeros, or one whose scale would round to zero, has scale 1. Weights must be finite.
float ChooseScale(std::span<const float> weights, std::span<const float> importance, int bits,
                  tensor::DType scale_dtype, Clip clip);

}  // namespace octavo::quant
