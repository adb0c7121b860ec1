#include "model/batch.h"

#include <algorithm>

#include "model/rope.h"

namespace octavo::model {

void Batch::Assign(const std::vector<float>& rope_frequencies, int64_t rows_per_task,
                   std::span<const BatchSegment> segments) {
  segments_.assign(segments.begin(), segments.end());
  half_ = static_cast<int64_t>(rope_frequencies.size());
  rows_ = segments_.empty() ? 0 : segments_.back().first_row + segments_.back().rows;
  cosine_.resize(static_cast<size_t>(rows_ * half_));
  sine_.resize(static_cast<size_t>(rows_ * half_));
  tasks_.clear();
  for (const BatchSegment& segment : segments_) {
    for (int64_t r = 0; r < segment.rows; ++r) {
      const int64_t row = segment.first_row + r;
      RopeAngles(rope_frequencies, segment.first_position + r, cosine_.data() + row * half_,
                 sine_.data() + row * half_);
    }
    for (int64_t r = 0; r < segment.rows; r += rows_per_task) {
      tasks_.push_back({&segment, segment.first_row + r, segment.first_position + r,
                        std::min(rows_per_task, segment.rows - r)});
    }
  }
}

}  // namespace octavo::model
