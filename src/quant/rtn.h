// Round to nearest: the method that needs no data. Each group of weights that shares a scale is
// quantized by itself, as tensor/quant_spec.h defines.
#pragma once

#include <span>

#include "core/result.h"
#include "core/thread_pool.h"
#include "quant/clip.h"
#include "tensor/quant_spec.h"
#include "tensor/quantized_tensor.h"
#include "tensor/tensor_view.h"

namespace octavo::quant {

// The type in which the scales of this matrix are stored (tensor::ScaleDType): F32 if some of its
// rows would have it so by themselves. Looks at the weights only where it depends on them. weight:
// [N, K] F32, F16 or BF16.
tensor::DType ScaleDTypeFor(const tensor::TensorView& weight, const tensor::Scheme& scheme,
                            core::ThreadPool& pool);

// weight: [N, K] F32, F16 or BF16; scheme: 8 or 4 bits, its group size divides K. `clip` and
// `importance` ([K], or empty): how each scale is chosen (clip.h). The same result for any number
// of threads and any ISA. A weight that is NaN or infinite is an Error that gives its index.
core::Result<tensor::QuantizedTensor> RoundToNearest(
    const tensor::TensorView& weight, const tensor::Scheme& scheme, tensor::DType scale_dtype,
    core::ThreadPool& pool, Clip clip = Clip::kNone, std::span<const float> importance = {});

// Rows [first_row, first_row + rows) of that, with Clip::kNone: a matrix in pieces.
core::Result<tensor::QuantizedTensor> RoundRowsToNearest(const tensor::TensorView& weight,
                                                         int64_t first_row, int64_t rows,
                                                         const tensor::Scheme& scheme,
                                                         tensor::DType scale_dtype,
                                                         core::ThreadPool& pool);

// The same with one scale for the whole matrix, absmax / 127 (or / 7), which every row of the
// result repeats: what coarser tools do, for comparison. bits: 8 or 4.
core::Result<tensor::QuantizedTensor> RoundToNearestPerTensor(const tensor::TensorView& weight,
                                                              int bits, tensor::DType scale_dtype,
                                                              core::ThreadPool& pool);

}  // namespace octavo::quant
