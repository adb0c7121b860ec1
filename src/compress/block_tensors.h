// The weights of one block as f32 matrices, which folds and methods change before they are packed
// or written.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "compress/fused_group.h"
#include "core/result.h"
#include "core/thread_pool.h"
#include "format/model_folder.h"
#include "model/block.h"
#include "model/config.h"
#include "tensor/tensor_view.h"

namespace octavo::compress {

struct DenseLinear {
  std::string module;  // "model.layers.0.self_attn.q_proj"
  int64_t n = 0;
  int64_t k = 0;
  std::vector<float> weight;  // [N, K]
  std::vector<float> bias;    // [N], empty: none
  tensor::DType stored = tensor::DType::kF32;

  tensor::TensorView view() const;  // F32
};

struct BlockTensors {
  int64_t layer = 0;
  tensor::DType norm_dtype = tensor::DType::kF32;
  std::vector<float> input_norm;  // [hidden]
  std::vector<float> post_norm;
  std::vector<float> q_norm;  // [D], empty: none
  std::vector<float> k_norm;
  std::vector<DenseLinear> linears;  // q, k, v, o, gate, up, down

  DenseLinear& q() { return linears[0]; }
  DenseLinear& k() { return linears[1]; }
  DenseLinear& v() { return linears[2]; }
  DenseLinear& o() { return linears[3]; }
  DenseLinear& gate() { return linears[4]; }
  DenseLinear& up() { return linears[5]; }
  DenseLinear& down() { return linears[6]; }
  std::vector<DenseLinear*> group(FusedGroup group);
};

// Reads block `layer` of a 16-bit folder and gives its mapped pages back. A weight that is not
// finite is an Error that names tensor and index.
core::Result<BlockTensors> LoadBlockTensors(const format::ModelFolder& folder,
                                            const model::ModelConfig& config, int64_t layer,
                                            core::ThreadPool& pool);
// The block as the forward pass runs it, with f32 weights; `inner_rotation`: of down's inputs at
// run time, or nullptr.
model::BlockWeights PackDense(const BlockTensors& block,
                              std::shared_ptr<const kernels::Hadamard> inner_rotation,
                              core::ThreadPool& pool);

}  // namespace octavo::compress
