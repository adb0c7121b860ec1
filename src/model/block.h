// One transformer block: its weights, and the forward pass over a batch.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "core/thread_pool.h"
#include "kernels/scratch.h"
#include "model/batch.h"
#include "model/config.h"
#include "model/kv_cache.h"
#include "model/linear.h"
#include "model/projection.h"

namespace octavo::model {

// The linear layers and norms of one block, in Hugging Face's names.
struct BlockWeights {
  std::vector<float> input_norm;  // [hidden]
  Linear q_proj;                  // [H * D, hidden]
  Linear k_proj;                  // [kv_heads * D, hidden]
  Linear v_proj;
  std::vector<float> q_norm;  // [D], empty without qk_norm
  std::vector<float> k_norm;
  Linear o_proj;                 // [hidden, H * D]
  std::vector<float> post_norm;  // [hidden]
  Linear gate_proj;              // [intermediate, hidden]
  Linear up_proj;
  Linear down_proj;  // [hidden, intermediate]

  std::array<const Linear*, 7> linears() const {
    return {&q_proj, &k_proj, &v_proj, &o_proj, &gate_proj, &up_proj, &down_proj};
  }
  // Those that read the block's input.
  std::array<const Linear*, 3> first() const { return {&q_proj, &k_proj, &v_proj}; }
  // Bytes that stay in memory.
  int64_t resident_bytes() const;
};

// Buffers of the forward pass, [rows, ...] f32, owned once by the model and shared by all blocks.
struct BlockScratch {
  kernels::FloatBuffer q;  // [rows, H * D]
  kernels::FloatBuffer k;  // [rows, kv_heads * D]
  kernels::FloatBuffer v;
  kernels::FloatBuffer attention;  // [rows, H * D]
  kernels::FloatBuffer gate;       // [rows, intermediate]
  kernels::FloatBuffer up;
  ProjectionScratch projection;
};

core::Result<BlockWeights> LoadBlock(format::WeightReader& reader,
                                     const format::QuantizationConfig& quantization,
                                     const ModelConfig& config, int64_t layer,
                                     core::ThreadPool& pool);

// hidden: [batch.rows(), hidden] f32, updated in place. `next`: what reads it then, for threads
// that wait to ask for; may be empty.
void ForwardBlock(const ForwardContext& context, const BlockWeights& weights, int64_t layer,
                  const Batch& batch, KvPool& kv, const NextProjection& next, BlockScratch& scratch,
                  float* hidden);

}  // namespace octavo::model
