// The kernel report: which kernel and instruction set ran each linear layer, read from the counters
// and buffers that were really used, not from what was planned.
#pragma once

#include <map>
#include <string>

#include "core/json.h"
#include "core/result.h"
#include "model/model.h"

namespace octavo::proof {

// What a model folder says of itself.
struct Promise {
  std::string digest;                          // empty: not known
  std::map<std::string, std::string> schemes;  // layer -> scheme; empty unless octavo quantized it
};
// Errors: a folder that is not what its octavo.json says, or an octavo.json without the schemes of
// its layers.
core::Result<Promise> ReadPromise(const std::string& folder);

// The document of `octavo doctor --json` and GET /octavo/kernels:
//   {schema, octavo_version, artifact_digest, layers: [{name, stored, scheme, kernel, isa,
//    input_scale, input_rotation: {kind, inputs, order, seed, calls}, weight_bytes, calls}],
//    fallbacks: [{name, promised, stored, packed, rotation_skipped, kernel}],
//    int8_fraction_of_linear_weights}
// kernel and isa are null until a layer's first call; input_scale and input_rotation are null but
// for static activations and for layers whose input is rotated as the model runs. A fallback is a
// layer whose packed buffer holds another type than the checkpoint stores, that runs by another
// scheme than octavo.json promises (null: nothing), whose input codes were not static although the
// checkpoint says so, or whose input was not rotated in every call. The fraction counts weights, N
// x K of each layer, by what the packed buffer holds; a tied lm_head is the embedding and is not
// counted. Thread-safe, also while the model runs.
core::Json KernelReport(const model::Model& model, const Promise& promise);

}  // namespace octavo::proof
