#include "model/attention.h"

#include <cmath>
#include <cstring>

#include "kernels/dispatch.h"
#include "kernels/scratch.h"
#include "model/rope.h"
#include "tensor/dtype.h"

namespace octavo::model {
namespace {

static_assert(kKvBlockPositions == kernels::kKvPositions);

// K of one position is a column of its block, V a row.
void StorePosition(const float* k, const float* v, int64_t head_dim, int64_t slot, KvType type,
                   std::byte* keys, std::byte* values) {
  if (type == KvType::kF32) {
    auto* k_out = reinterpret_cast<float*>(keys) + slot;
    for (int64_t i = 0; i < head_dim; ++i) k_out[i * kKvBlockPositions] = k[i];
    std::memcpy(reinterpret_cast<float*>(values) + slot * head_dim, v,
                static_cast<size_t>(head_dim) * sizeof(float));
    return;
  }
  auto* k_out = reinterpret_cast<uint16_t*>(keys) + slot;
  auto* v_out = reinterpret_cast<uint16_t*>(values) + slot * head_dim;
  for (int64_t i = 0; i < head_dim; ++i) {
    k_out[i * kKvBlockPositions] = tensor::FloatToF16(k[i]);
    v_out[i] = tensor::FloatToF16(v[i]);
  }
}

}  // namespace

int64_t RowsPerTask(const ModelConfig& config) {
  return kernels::kAttentionQueries / (config.heads / config.kv_heads);
}

void RotateAndStore(const ModelConfig& config, int64_t layer, const Batch& batch, float* q,
                    float* k, const float* v, KvPool& kv, core::ThreadPool& pool) {
  const int64_t d = config.head_dim;
  const auto tasks = batch.tasks();
  pool.ParallelFor(static_cast<int64_t>(tasks.size()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const AttentionTask& task = tasks[static_cast<size_t>(t)];
      for (int64_t r = 0; r < task.rows; ++r) {
        const int64_t row = task.row + r;
        const int64_t position = task.position + r;
        const int64_t block =
            task.segment->sequence->blocks()[static_cast<size_t>(position / kKvBlockPositions)];
        for (int64_t h = 0; h < config.heads; ++h) {
          Rotate(q + (row * config.heads + h) * d, d, batch.cosine(row), batch.sine(row));
        }
        for (int64_t h = 0; h < config.kv_heads; ++h) {
          float* key = k + (row * config.kv_heads + h) * d;
          Rotate(key, d, batch.cosine(row), batch.sine(row));
          StorePosition(key, v + (row * config.kv_heads + h) * d, d, position % kKvBlockPositions,
                        kv.type(), kv.Keys(layer, h) + block * kv.block_bytes(),
                        kv.Values(layer, h) + block * kv.block_bytes());
        }
      }
    }
  });
}

void Attend(const ModelConfig& config, int64_t layer, const Batch& batch, const float* q,
            const KvPool& kv, float* out, core::ThreadPool& pool) {
  const auto attention = kernels::ActiveTable().attention;
  const int64_t group = config.heads / config.kv_heads;
  const int64_t width = config.heads * config.head_dim;
  const auto tasks = batch.tasks();
  const auto task_count = static_cast<int64_t>(tasks.size());
  pool.ParallelFor(task_count * config.kv_heads, 1, [&](int64_t begin, int64_t end) {
    float* scratch = kernels::ThreadScratch(kernels::kAttentionScratch);
    for (int64_t i = begin; i < end; ++i) {
      const AttentionTask& task = tasks[static_cast<size_t>(i / config.kv_heads)];
      const int64_t head = i % config.kv_heads;
      kernels::AttentionPiece piece;
      piece.q = q + task.row * width + head * group * config.head_dim;
      piece.q_stride = width;
      piece.rows = task.rows;
      piece.heads = group;
      piece.head_dim = config.head_dim;
      piece.first_position = task.position;
      piece.window = config.windows[static_cast<size_t>(layer)];
      piece.scale = 1.0F / std::sqrt(static_cast<float>(config.head_dim));
      piece.keys = kv.Keys(layer, head);
      piece.values = kv.Values(layer, head);
      piece.blocks = task.segment->sequence->blocks().data();
      piece.block_bytes = kv.block_bytes();
      piece.half = kv.type() == KvType::kF16;
      piece.out = out + task.row * width + head * group * config.head_dim;
      piece.out_stride = width;
      piece.scratch = scratch;
      attention(piece);
    }
  });
}

}  // namespace octavo::model
