// Round to nearest: the method that needs no data. Each group of weights that shares a scale is
// quantized by itself, as tensor/quant_spec.h defines.
#pragma once

#include "core/result.h"
#include "core/thread_pool.h"
#include "tensor/quant_spec.h"
#include "tensor/quantized_tensor.h"
#include "tensor/tensor_view.h"

namespace octavo::quant {

// The type in which the scales of this matrix are stored (tensor::ScaleDType); looks at the weights
// only where it depends on them. weight: [N, K] F32, F16 or BF16.
tensor::DType ScaleDTypeFor(const tensor::TensorView& weight, const tensor::Scheme& scheme,
                            core::ThreadPool& pool);

// weight: [N, K] F32, F16 or BF16; scheme: 8 or 4 bits, its group size divides K. The same result
// for any number of threads and any ISA. A weight that is NaN or infinite is an Error that gives
// its index.
core::Result<tensor::QuantizedTensor> RoundToNearest(const tensor::TensorView& weight,
                                                     const tensor::Scheme& scheme,
                                                     tensor::DType scale_dtype,
                                                     core::ThreadPool& pool);

}  // namespace octavo::quant
