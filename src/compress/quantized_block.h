// One block after a method has run: codes for the layers that are quantized, floats rounded to
// their stored type for the rest. What is measured on it is what the artifact holds.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "compress/block_tensors.h"
#include "core/json.h"
#include "core/result.h"
#include "core/thread_pool.h"
#include "format/safetensors.h"
#include "tensor/quantized_tensor.h"

namespace octavo::compress {

struct QuantizedLinear {
  tensor::Scheme scheme;  // 16 bits: kept
  tensor::QuantizedTensor weight;
};

struct QuantizedBlock {
  BlockTensors tensors;                  // weights of quantized layers are empty
  std::vector<QuantizedLinear> linears;  // as tensors.linears
  core::Json report;                     // what the method tells, by group
};

// Rounds norms, biases and kept weights to the types in which they are stored. A value that F16
// cannot hold is an Error that names the tensor.
core::Status RoundToStored(QuantizedBlock& block);
// The block as the forward pass runs it; `inner_rotation` as for PackDense.
core::Result<model::BlockWeights> PackQuantized(
    const QuantizedBlock& block, std::shared_ptr<const kernels::Hadamard> inner_rotation,
    core::ThreadPool& pool);

// Its tensors in a file of their own. SHA-256 of the file.
core::Result<std::string> WriteBlockFile(const QuantizedBlock& block, const std::string& path);

}  // namespace octavo::compress
