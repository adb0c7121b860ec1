// GPTQ: weights are rounded one input at a time, and what the rounding of one does to the output is
// made good by the inputs that follow.
#pragma once

#include <cstdint>
#include <span>

#include "core/result.h"
#include "core/thread_pool.h"
#include "quant/gptq_factor.h"
#include "tensor/quant_spec.h"
#include "tensor/quantized_tensor.h"

namespace octavo::quant {

struct GptqResult {
  tensor::QuantizedTensor tensor;
  double error =
      0;  // tr(E H E^T), E = weight - dequantized, H = sum of x x^T / rows, undamped: the
          // squared error of an output row, summed over its features, mean over the rows
};

// weight: [N, K] f32, K as the factor's; scheme: 8 or 4 bits, its group size divides K. The groups
// are static: scales are those of `options.clip` on the weights as given, each weighted by the
// factor's pivot of its input (what of its error the later inputs cannot make good), and the order
// of the inputs is only the order of the work, so that the result is an ordinary QuantizedTensor.
// Weights of dead inputs count as 0. The same bytes for 1 and more threads; on another CPU codes
// may differ where a sum lies close to the middle between two. A weight that is NaN or infinite is
// an Error that gives its index. Each thread takes about 1 KiB * K.
core::Result<GptqResult> Gptq(std::span<const float> weight, int64_t n,
                              const tensor::Scheme& scheme, tensor::DType scale_dtype,
                              const GptqFactor& factor, const GptqOptions& options,
                              core::ThreadPool& pool);

}  // namespace octavo::quant
