// A batch of rows that belong to any number of sequences, with what all layers need to know about
// their positions.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "model/kv_cache.h"

namespace octavo::model {

// `rows` new positions of one sequence, from `first_position` on; the sequence has already been
// extended over them.
struct BatchSegment {
  const KvSequence* sequence;
  int64_t first_row;
  int64_t rows;
  int64_t first_position;
};

// Attention of `rows` rows from `row` on, all of one segment; one such task for each KV head.
struct AttentionTask {
  const BatchSegment* segment;
  int64_t row;       // in the batch
  int64_t position;  // of that row
  int64_t rows;
};

// Reused from call to call. Not thread-safe while it is assigned.
class Batch {
 public:
  void Assign(const std::vector<float>& rope_frequencies, int64_t rows_per_task,
              std::span<const BatchSegment> segments);

  int64_t rows() const { return rows_; }
  std::span<const BatchSegment> segments() const { return segments_; }
  std::span<const AttentionTask> tasks() const { return tasks_; }
  // [head_dim / 2] of a row's position.
  const float* cosine(int64_t row) const { return cosine_.data() + row * half_; }
  const float* sine(int64_t row) const { return sine_.data() + row * half_; }

 private:
  int64_t rows_ = 0;
  int64_t half_ = 0;
  std::vector<BatchSegment> segments_;
  std::vector<AttentionTask> tasks_;
  std::vector<float> cosine_;
  std::vector<float> sine_;
};

}  // namespace octavo::model
