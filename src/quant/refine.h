// Refinement: codes and scales that some method chose are improved one by one, each to the best
// value given all others, until a pass changes little.
#pragma once

#include <cstdint>
#include <span>

#include "core/thread_pool.h"
#include "quant/gptq_factor.h"
#include "tensor/quantized_tensor.h"

namespace octavo::quant {

// Coordinate descent on tr(E H E^T), E = weight - codes * scales, H damped as in `factor`. A pass
// walks the groups of inputs in order; within one, alternately, the scale takes its least-squares
// value (rounded to its stored type; only where groups have at most 256 inputs) and each code the
// nearest to its least-squares value. No step raises the error. GPTQ looks only forward: an input
// cannot make good what those after it will be rounded by, and its scales are chosen before any
// error is known; this does both. weight: [N, K] f32, finite; codes of dead inputs stay.
// The same bytes for any number of threads. Each thread takes about 512 * K bytes.
void Refine(std::span<const float> weight, const GptqFactor& factor, int passes,
            tensor::QuantizedTensor& quantized, core::ThreadPool& pool);

}  // namespace octavo::quant
