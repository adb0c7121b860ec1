// Attention of a batch: positions go into Q and K, K and V into the cache, and every query reads
// its sequence's blocks.
#pragma once

#include "core/thread_pool.h"
#include "model/batch.h"
#include "model/config.h"
#include "model/kv_cache.h"

namespace octavo::model {

// q: [rows, H * D], k and v: [rows, kv_heads * D] f32; q and k are rotated on their way. Writes
// keys and values to their places in `kv`, in its element type, before anything reads them. out:
// [rows, H * D] f32, causal attention over the cache, within the layer's window. Overwrites the
// batch's partial results.
void Attend(const ModelConfig& config, int64_t layer, const Batch& batch, const float* q,
            const float* k, const float* v, KvPool& kv, float* out, core::ThreadPool& pool);

}  // namespace octavo::model
