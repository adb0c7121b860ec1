// A model walked block by block: all sequences pass one block before the next is loaded, so that
// memory is set by the largest block and not by the model. The same forward pass as the engine's.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "core/progress.h"
#include "core/result.h"
#include "core/thread_pool.h"
#include "engine/hidden_states.h"
#include "kernels/scratch.h"
#include "model/batch.h"
#include "model/block.h"
#include "model/config.h"
#include "model/kv_cache.h"
#include "model/tap.h"
#include "tensor/tensor_view.h"

namespace octavo::engine {

// Holds scratch memory and the KV memory of one pass. `pool` must outlive it. Not thread-safe.
class BlockStream {
 public:
  // Sequences must not be longer than the model's context.
  BlockStream(const model::ModelConfig& config, model::Compute compute, model::KvType kv,
              core::ThreadPool& pool);

  const model::ModelConfig& config() const { return config_; }
  // Row ids[i] of embedding: [V, hidden], F32, F16 or BF16, into row i of `states`; ids are those
  // of all sequences, one after the other, each in [0, V).
  core::Status Embed(const tensor::TensorView& embedding, std::span<const int32_t> ids,
                     HiddenStates& states);
  // Every sequence of `in`, from its position 0 on, through block `layer`, into `out`, which has
  // the same shape and may be `in` itself, or nullptr where only the tap is of interest. `tap` may
  // be empty. `advance` is told the rows of each pass.
  core::Status Forward(const model::BlockWeights& weights, int64_t layer, const HiddenStates& in,
                       HiddenStates* out, const model::Tap& tap, const core::CancelToken& cancel,
                       const std::function<void(int64_t rows)>& advance = {});
  // logits: [rows, V] f32 = head of the normed hidden: [rows, hidden]; norm: [hidden]. The tap is
  // told layer -1.
  void Head(const model::Linear& head, std::span<const float> norm, const float* hidden,
            int64_t rows, float* logits, const model::Tap& tap = {});

 private:
  model::ModelConfig config_;
  model::ModelConfig one_layer_;  // the same with the block at hand as its only one
  model::Compute compute_;
  core::ThreadPool& pool_;
  std::vector<float> rope_frequencies_;
  model::KvType kv_type_;
  model::BlockScratch scratch_;
  model::Profile profile_;
  model::Batch batch_;
  kernels::FloatBuffer hidden_;
  std::vector<model::BatchSegment> segments_;
};

}  // namespace octavo::engine
