// The kernel report: which kernel and instruction set ran each linear layer, read from the counters
// and buffers that were really used, not from what was planned.
#pragma once

#include <string>

#include "core/json.h"
#include "model/model.h"

namespace octavo::proof {

// The document of `octavo doctor --json` and GET /octavo/kernels:
//   {schema, octavo_version, artifact_digest, layers: [{name, stored, scheme, kernel, isa,
//   weight_bytes, calls}],
//    fallbacks: [{name, stored, packed}], int8_fraction_of_linear_weights}
// kernel and isa are null until a layer's first call. A fallback is a layer whose packed buffer
// holds another type than the checkpoint stores. The fraction counts weights, N x K of each layer;
// a tied lm_head is the embedding and is not counted. Thread-safe, also while the model runs.
core::Json KernelReport(const model::Model& model, const std::string& artifact_digest);

}  // namespace octavo::proof
