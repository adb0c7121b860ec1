// What a weight error does to a layer's output, from the second moments of its inputs alone.
#pragma once

#include <cstdint>
#include <span>

#include "core/function_ref.h"
#include "core/thread_pool.h"
#include "quant/second_moments.h"
#include "tensor/quantized_tensor.h"

namespace octavo::quant {

// tr(E H E^T), E = weight - codes * scales [N, K], H = sum of x x^T / rows: the squared error of an
// output row, summed over the features, mean over the rows that `moments` saw. weight: [N, K] f32.
// The same bits for any number of threads.
double OutputError(std::span<const float> weight, const tensor::QuantizedTensor& quantized,
                   const SecondMoments& moments, core::ThreadPool& pool);

// The same for an E that is made row by row: fill(n, row) writes row n, [K]; it is called on many
// threads, once for each row. Each thread takes 512 * K bytes.
double OutputErrorOf(int64_t n, core::FunctionRef<void(int64_t, std::span<float>)> fill,
                     const SecondMoments& moments, core::ThreadPool& pool);

}  // namespace octavo::quant
