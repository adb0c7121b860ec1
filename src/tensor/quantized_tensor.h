// A quantized weight matrix: integer codes and the scales that give them back their size. Every
// method yields this type and the runtime never asks which method made it.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "tensor/dtype.h"
#include "tensor/quant_spec.h"

namespace octavo::tensor {

// weight[n, k] = codes[n * K + k] * scales[n * groups() + k / group_size].
struct QuantizedTensor {
  int64_t n = 0;  // output features, N
  int64_t k = 0;  // input features, K
  int bits = 8;   // 8 or 4; a code always takes one int8 here
  int64_t group_size =
      0;  // inputs per scale; equal to k for one scale per output channel; divides k
  DType scale_dtype = DType::kF32;  // the type in which the scales are stored; their values are
                                    // already rounded to it
  std::vector<int8_t> codes;        // [N, K]
  std::vector<float> scales;        // [N, K / group_size]
  std::optional<float> input_scale = {};  // of static activations: input = code * input_scale

  int64_t groups() const { return group_size == 0 ? 1 : k / group_size; }
};

}  // namespace octavo::tensor
