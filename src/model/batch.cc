#include "model/batch.h"

#include <algorithm>

#include "model/rope.h"

namespace octavo::model {
namespace {

// Tiles of at most this many rows are shared out by partitions.
constexpr int64_t kSharedRows = 4;

int64_t RowsPerTile(const ModelConfig& config) {
  return kernels::kAttentionQueries / (config.heads / config.kv_heads);
}

}  // namespace

int64_t PartialFloats(const ModelConfig& config, int64_t rows) {
  return rows * config.heads / config.kv_heads * (config.head_dim + kernels::kPartialTail);
}

void Batch::Assign(const ModelConfig& config, const std::vector<float>& rope_frequencies,
                   std::span<const BatchSegment> segments, core::ThreadPool& pool) {
  segments_.assign(segments.begin(), segments.end());
  half_ = static_cast<int64_t>(rope_frequencies.size());
  rows_ = segments_.empty() ? 0 : segments_.back().first_row + segments_.back().rows;
  cosine_.resize(static_cast<size_t>(rows_ * half_));
  sine_.resize(static_cast<size_t>(rows_ * half_));
  tiles_.clear();
  stored_before_.clear();
  tasks_.clear();
  const int64_t rows_per_tile = RowsPerTile(config);
  int64_t partials = 0;
  for (const BatchSegment& segment : segments_) {
    for (int64_t r = 0; r < segment.rows; r += rows_per_tile) {
      BatchTile tile{&segment,
                     segment.first_row + r,
                     segment.first_position + r,
                     std::min(rows_per_tile, segment.rows - r),
                     0,
                     partials,
                     segment.rows <= rows_per_tile};
      const int64_t last = tile.position + tile.rows - 1;
      if (tile.rows <= kSharedRows && last >= kernels::kPartitionPositions) {
        tile.partitions = last / kernels::kPartitionPositions + 1;
        tile.stores_own = false;
        partials += tile.partitions * config.kv_heads * PartialFloats(config, tile.rows);
      }
      tiles_.push_back(tile);
    }
  }
  for (const BatchTile& tile : tiles_) {
    if (!tile.stores_own) stored_before_.push_back(&tile);
  }
  partial_floats_ = partials > 0 ? partial_buffer_.Reserve(partials) : nullptr;
  // Each thread begins with the rows that it has projected. The later a tile, the more it reads:
  // of a thread's those come first, so that what threads still do at the end of a loop is short.
  const auto owner = [&](const BatchTile& tile) { return tile.row * pool.size() / rows_; };
  for (auto begin = tiles_.begin(); begin != tiles_.end();) {
    const auto end = std::find_if(
        begin, tiles_.end(), [&](const BatchTile& tile) { return owner(tile) != owner(*begin); });
    for (auto tile = end; tile-- != begin;) {
      if (tile->partitions == 0) tasks_.push_back({&*tile, -1});
      for (int64_t p = 0; p < tile->partitions; ++p) tasks_.push_back({&*tile, p});
    }
    begin = end;
  }
  pool.ParallelFor(static_cast<int64_t>(tiles_.size()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const BatchTile& tile = tiles_[static_cast<size_t>(t)];
      for (int64_t r = 0; r < tile.rows; ++r) {
        RopeAngles(rope_frequencies, tile.position + r, cosine_.data() + (tile.row + r) * half_,
                   sine_.data() + (tile.row + r) * half_);
      }
    }
  });
}

}  // namespace octavo::model
