// The hidden states of many sequences between two blocks: in memory while they fit, else in a
// nameless file, so that a model can be walked block by block over any amount of text.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/result.h"
#include "core/spill_file.h"

namespace octavo::engine {

struct HiddenStatesOptions {
  int64_t max_memory_bytes = int64_t{1} << 30;  // beyond it, all of them are on disk
  std::string spill_folder = ".";
};

// [rows, width] f32, where the rows of sequence i follow those of i - 1. Not thread-safe.
class HiddenStates {
 public:
  // `lengths`: tokens of each sequence.
  static core::Result<HiddenStates> Create(std::vector<int64_t> lengths, int64_t width,
                                           const HiddenStatesOptions& options);

  int64_t sequences() const { return static_cast<int64_t>(lengths_.size()); }
  int64_t length(int64_t sequence) const { return lengths_[static_cast<size_t>(sequence)]; }
  int64_t first_row(int64_t sequence) const { return first_rows_[static_cast<size_t>(sequence)]; }
  int64_t rows() const { return rows_; }
  int64_t width() const { return width_; }
  bool on_disk() const { return file_.has_value(); }

  // Rows from `row` on, as many as the span holds: [n, width].
  core::Status Read(int64_t row, std::span<float> into) const;
  core::Status Write(int64_t row, std::span<const float> from);

  // All of them to and from a file of their own that only its owner can read, written atomically.
  // Load expects the file of states of the same shape.
  core::Status Save(const std::string& path) const;
  core::Status Load(const std::string& path);

 private:
  HiddenStates() = default;
  std::vector<int64_t> lengths_;
  std::vector<int64_t> first_rows_;
  int64_t rows_ = 0;
  int64_t width_ = 0;
  std::vector<float> memory_;
  std::optional<core::SpillFile> file_;
};

}  // namespace octavo::engine
