// Float weights from one stored type to another, piece by piece.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "format/safetensors.h"
#include "tensor/dtype.h"

namespace octavo::hub {

// How many elements are held in f32 at a time.
inline constexpr int64_t kPieceElements = int64_t{1} << 18;

// Rounds f32 values half to even and appends them to a file. One per file; not thread-safe.
class FloatAppender {
 public:
  explicit FloatAppender(format::SafetensorsWriter& writer) : writer_(writer) {}
  // `first`: index of values[0] in its tensor. A finite value beyond the range of `dtype` is an
  // Error that names the tensor and the index; NaN and infinities stay what they are.
  core::Status Append(std::string_view tensor, int64_t first, std::span<const float> values,
                      tensor::DType dtype);

 private:
  format::SafetensorsWriter& writer_;
  std::vector<std::byte> bytes_;
};

}  // namespace octavo::hub
