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

// Whether `dtype` can hold the values: a finite one beyond its range is an Error that names the
// tensor, the index (`first`: that of values[0] in its tensor) and the option that helps; NaN and
// infinities stay what they are.
core::Status CheckRange(std::string_view tensor, int64_t first, std::span<const float> values,
                        tensor::DType dtype, std::string_view remedy);

// Rounds f32 values half to even and appends them to a file. One per file; not thread-safe.
class FloatAppender {
 public:
  explicit FloatAppender(format::SafetensorsWriter& writer) : writer_(writer) {}
  // Values that `dtype` cannot hold are an Error, as CheckRange has it.
  core::Status Append(std::string_view tensor, int64_t first, std::span<const float> values,
                      tensor::DType dtype);

 private:
  format::SafetensorsWriter& writer_;
  std::vector<std::byte> bytes_;
};

}  // namespace octavo::hub
