#include "model/attention.h"

#include <algorithm>
#include <cmath>

#include "kernels/dispatch.h"
#include "kernels/scratch.h"

namespace octavo::model {
namespace {

// Fewer merges than this are done before another thread has woken up.
constexpr int64_t kMergesAtLeast = 16;

// Row `row` of a tile, and those that follow in the same block, on their way to one KV head.
kernels::KvStorePiece StorePieceOf(const ModelConfig& config, int64_t layer, const Batch& batch,
                                   const BatchTile& tile, int64_t row, int64_t head, const float* k,
                                   const float* v, const KvPool& kv) {
  const int64_t position = tile.position + row;
  const auto block = static_cast<size_t>(position / kKvBlockPositions);
  const int64_t offset = tile.segment->sequence->blocks()[block] * kv.block_bytes();
  kernels::KvStorePiece piece;
  piece.stride = config.kv_heads * config.head_dim;
  piece.head_dim = config.head_dim;
  piece.storage = kv.type();
  piece.slot = position % kKvBlockPositions;
  piece.rows = std::min(tile.rows - row, kKvBlockPositions - piece.slot);
  piece.cosine = batch.cosine(tile.row + row);
  piece.sine = batch.sine(tile.row + row);
  piece.k = k + (tile.row + row) * piece.stride + head * config.head_dim;
  piece.v = v + (tile.row + row) * piece.stride + head * config.head_dim;
  piece.keys = kv.Keys(layer, head) + offset;
  piece.values = kv.Values(layer, head) + offset;
  return piece;
}

kernels::AttentionPiece PieceOf(const ModelConfig& config, int64_t layer, const Batch& batch,
                                const BatchTile& tile, int64_t head, const float* q,
                                const KvPool& kv, float* out) {
  const int64_t group = config.heads / config.kv_heads;
  const int64_t width = config.heads * config.head_dim;
  kernels::AttentionPiece piece;
  piece.q = q + tile.row * width + head * group * config.head_dim;
  piece.q_stride = width;
  piece.cosine = batch.cosine(tile.row);
  piece.sine = batch.sine(tile.row);
  piece.rows = tile.rows;
  piece.heads = group;
  piece.head_dim = config.head_dim;
  piece.first_position = tile.position;
  piece.window = config.windows[static_cast<size_t>(layer)];
  piece.scale = 1.0F / std::sqrt(static_cast<float>(config.head_dim));
  piece.storage = kv.type();
  piece.keys = kv.Keys(layer, head);
  piece.values = kv.Values(layer, head);
  piece.blocks = tile.segment->sequence->blocks().data();
  piece.block_bytes = kv.block_bytes();
  piece.out = out + tile.row * width + head * group * config.head_dim;
  piece.out_stride = width;
  return piece;
}

// Where the attention of a task and KV head begins to read.
const void* FirstKeys(const ModelConfig& config, int64_t layer, const AttentionTask& task,
                      int64_t head, const KvPool& kv) {
  const int64_t window = config.windows[static_cast<size_t>(layer)];
  const int64_t seen = window > 0 ? task.tile->position - window + 1 : 0;
  const int64_t begin = std::max(task.partition, int64_t{0}) * kernels::kPartitionPositions;
  const auto block = static_cast<size_t>(std::max(begin, seen) / kKvBlockPositions);
  return kv.Keys(layer, head) + task.tile->segment->sequence->blocks()[block] * kv.block_bytes();
}

// The partial results of one KV head, all partitions.
float* PartialsOf(const ModelConfig& config, const Batch& batch, const BatchTile& tile,
                  int64_t head) {
  return batch.partials() + tile.partials +
         head * tile.partitions * PartialFloats(config, tile.rows);
}

}  // namespace

void Attend(const ModelConfig& config, int64_t layer, const Batch& batch, const float* q,
            const float* k, const float* v, KvPool& kv, float* out, core::ThreadPool& pool) {
  const kernels::AttentionKernels& run = kernels::ActiveTable().attention;
  const auto store = [&](const BatchTile& tile, int64_t head) {
    for (int64_t row = 0; row < tile.rows;) {
      const auto piece = StorePieceOf(config, layer, batch, tile, row, head, k, v, kv);
      run.store(piece);
      row += piece.rows;
    }
  };
  const auto before = batch.stored_before();
  pool.ParallelFor(static_cast<int64_t>(before.size()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      for (int64_t head = 0; head < config.kv_heads; ++head)
        store(*before[static_cast<size_t>(i)], head);
    }
  });
  const auto tasks = batch.tasks();
  const auto task_count = static_cast<int64_t>(tasks.size());
  pool.ParallelFor(task_count * config.kv_heads, 1, [&](int64_t begin, int64_t end) {
    float* scratch = kernels::ThreadScratch(kernels::kAttentionScratch);
    for (int64_t i = begin; i < end; ++i) {
      const AttentionTask& task = tasks[static_cast<size_t>(i / config.kv_heads)];
      const int64_t head = i % config.kv_heads;
      if (task.tile->stores_own) store(*task.tile, head);
      kernels::AttentionPiece piece = PieceOf(config, layer, batch, *task.tile, head, q, kv, out);
      piece.scratch = scratch;
      if (i + 1 < task_count * config.kv_heads) {
        piece.next_keys =
            FirstKeys(config, layer, tasks[static_cast<size_t>((i + 1) / config.kv_heads)],
                      (i + 1) % config.kv_heads, kv);
      }
      if (task.partition >= 0) {
        piece.partition = task.partition;
        piece.partial = PartialsOf(config, batch, *task.tile, head) +
                        task.partition * PartialFloats(config, piece.rows);
      }
      run.attend(piece);
    }
  });
  if (batch.partials() == nullptr) return;
  const auto tiles = batch.tiles();
  const auto tile_count = static_cast<int64_t>(tiles.size());
  pool.ParallelFor(tile_count * config.kv_heads, kMergesAtLeast, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const BatchTile& tile = tiles[static_cast<size_t>(i / config.kv_heads)];
      if (tile.partitions == 0) continue;
      const int64_t head = i % config.kv_heads;
      kernels::AttentionPiece piece = PieceOf(config, layer, batch, tile, head, q, kv, out);
      piece.partial = PartialsOf(config, batch, tile, head);
      piece.partitions = tile.partitions;
      run.merge(piece);
    }
  });
}

}  // namespace octavo::model
