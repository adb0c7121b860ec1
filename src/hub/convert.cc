#include "hub/convert.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include <fmt/format.h>

namespace octavo::hub {
namespace {

// The least magnitude that rounds to infinity.
float Overflow(tensor::DType dtype) {
  if (dtype == tensor::DType::kF16) return 65520.0F;      // halfway from 65504 to 2^16
  if (dtype == tensor::DType::kBF16) return 0x1.FFp127F;  // halfway from the largest to 2^128
  return std::numeric_limits<float>::infinity();
}

}  // namespace

core::Status CheckRange(std::string_view tensor, int64_t first, std::span<const float> values,
                        tensor::DType dtype, std::string_view remedy) {
  const float overflow = Overflow(dtype);
  const auto too_large = std::find_if(values.begin(), values.end(), [&](float value) {
    return std::fabs(value) >= overflow && !std::isinf(value);
  });
  if (too_large == values.end()) return {};
  return core::Invalid(fmt::format("tensor '{}': element {} is {}, which {} cannot hold; choose {}",
                                   core::Printable(tensor), first + (too_large - values.begin()),
                                   *too_large, tensor::DTypeName(dtype), remedy));
}

core::Status FloatAppender::Append(std::string_view tensor, int64_t first,
                                   std::span<const float> values, tensor::DType dtype) {
  OCTAVO_RETURN_IF_ERROR(
      CheckRange(tensor, first, values, dtype,
                 dtype == tensor::DType::kF16 ? "--dtype bf16 or f32" : "--dtype f32"));
  bytes_.resize(values.size() * tensor::DTypeSize(dtype));
  tensor::ConvertFromFloat(values, dtype, bytes_);
  return writer_.Append(bytes_);
}

}  // namespace octavo::hub
