// The one forward pass: embed, block(i), head, over a batch of rows that belong to any number of
// sequences, with a tap that sees the input of each linear layer.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/result.h"
#include "core/thread_pool.h"
#include "format/model_folder.h"
#include "model/batch.h"
#include "model/config.h"
#include "model/kv_cache.h"
#include "model/linear.h"
#include "model/profile.h"
#include "model/tap.h"

namespace octavo::model {

struct LoadOptions {
  Compute compute = Compute::kF32;
};

class Model {
 public:
  // Reads, checks and packs all weights, tensor by tensor; mapped source pages are given back as it
  // goes. A missing or surplus tensor, or a wrong shape or type, is an Error that names it. `pool`
  // must outlive the model.
  static core::Result<std::unique_ptr<Model>> Load(const format::ModelFolder& folder,
                                                   const LoadOptions& options,
                                                   core::ThreadPool& pool);
  ~Model();

  const ModelConfig& config() const;
  Compute compute() const;
  // Bytes of packed weights, scales, norms and embeddings that stay in memory.
  int64_t resident_bytes() const;
  // Of these, what every step reads: all but an embedding of its own.
  int64_t step_bytes() const;
  const Profile& profile() const;
  void ResetProfile();
  // Every linear layer, lm_head last; what it stores, runs and has counted.
  std::vector<const Linear*> linears() const;
  void set_tap(Tap tap);

  // hidden: [ids.size(), hidden_size] f32, written. ids in [0, V), which the caller has checked.
  void Embed(std::span<const int32_t> ids, float* hidden);
  // Fills `batch` with what the layers need to know about these segments.
  void Prepare(std::span<const BatchSegment> segments, Batch& batch) const;
  // hidden: [batch.rows(), hidden_size] f32, updated in place; K and V of the new positions go into
  // `kv`.
  void Block(int64_t layer, const Batch& batch, KvPool& kv, float* hidden);
  // logits: [rows, V] f32 from hidden: [rows, hidden_size], which is left alone.
  void Head(const float* hidden, int64_t rows, float* logits);

 private:
  struct State;
  explicit Model(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace octavo::model
