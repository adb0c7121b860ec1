// A batch of rows that belong to any number of sequences, with what all layers need to know about
// their positions.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/thread_pool.h"
#include "kernels/scratch.h"
#include "model/config.h"
#include "model/kv_cache.h"

namespace octavo::model {

// Rows of one pass through the blocks: enough to reuse each weight many times, few enough that the
// activations of a wide layer stay in the tens of megabytes.
inline constexpr int64_t kRowsPerPass = 512;

// All `rows` new positions that a batch has of one sequence, from `first_position` on; the sequence
// has already been extended over them.
struct BatchSegment {
  const KvSequence* sequence;
  int64_t first_row;
  int64_t rows;
  int64_t first_position;
};

// Consecutive rows of one segment.
struct BatchTile {
  const BatchSegment* segment;
  int64_t row;       // in the batch
  int64_t position;  // of that row
  int64_t rows;
  // When the attention of few rows over many positions is shared out: in how many partitions, and
  // where the partial results of the first KV head begin. 0: not shared out.
  int64_t partitions;
  int64_t partials;
  // All new positions of its sequence, in one piece of work a head: its keys and values are stored
  // by who then attends to them. Those of other tiles are stored before anything is read.
  bool stores_own;
};

// Attention of one tile for one KV head: all of it, or one partition.
struct AttentionTask {
  const BatchTile* tile;
  int64_t partition;  // -1: all
};

// Reused from call to call. Not thread-safe while it is assigned.
class Batch {
 public:
  void Assign(const ModelConfig& config, const std::vector<float>& rope_frequencies,
              std::span<const BatchSegment> segments, core::ThreadPool& pool);

  int64_t rows() const { return rows_; }
  std::span<const BatchSegment> segments() const { return segments_; }
  std::span<const BatchTile> tiles() const { return tiles_; }
  // All but those that store their own keys and values.
  std::span<const BatchTile* const> stored_before() const { return stored_before_; }
  // The longest first, so that threads end together.
  std::span<const AttentionTask> tasks() const { return tasks_; }
  // Memory for the partial results of one layer; nullptr when no tile is shared out.
  float* partials() const { return partial_floats_; }
  // [head_dim / 2] of a row's position.
  const float* cosine(int64_t row) const { return cosine_.data() + row * half_; }
  const float* sine(int64_t row) const { return sine_.data() + row * half_; }

 private:
  int64_t rows_ = 0;
  int64_t half_ = 0;
  std::vector<BatchSegment> segments_;
  std::vector<BatchTile> tiles_;
  std::vector<const BatchTile*> stored_before_;
  std::vector<AttentionTask> tasks_;
  std::vector<float> cosine_;
  std::vector<float> sine_;
  kernels::FloatBuffer partial_buffer_;
  float* partial_floats_ = nullptr;
};

// Floats of the partial results of `rows` rows and one KV head, of one partition.
int64_t PartialFloats(const ModelConfig& config, int64_t rows);

}  // namespace octavo::model
