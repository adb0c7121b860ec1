// Attention of a batch: positions go into Q and K, K and V into the cache, and every query reads
// its sequence's blocks.
#pragma once

#include "core/thread_pool.h"
#include "model/batch.h"
#include "model/config.h"
#include "model/kv_cache.h"

namespace octavo::model {

// k and v: [rows, kv_heads * D] f32. Writes keys, rotated, and values to their places in `kv`, in
// its element type, before anything reads them.
void StoreKv(const ModelConfig& config, int64_t layer, const Batch& batch, const float* k,
             const float* v, KvPool& kv, core::ThreadPool& pool);

// q: [rows, H * D] f32, which are rotated on their way. out: [rows, H * D] f32, causal attention
// over the cache, within the layer's window. Overwrites the batch's partial results.
void Attend(const ModelConfig& config, int64_t layer, const Batch& batch, const float* q,
            const KvPool& kv, float* out, core::ThreadPool& pool);

}  // namespace octavo::model
