#include "tensor/shape.h"

#include "core/bytes.h"

namespace octavo::tensor {

std::optional<int64_t> ElementCount(const Shape& shape) {
  int64_t count = 1;
  bool has_zero = false;
  for (const int64_t dimension : shape) {
    if (dimension < 0) return std::nullopt;
    if (dimension == 0) {
      has_zero = true;
      continue;
    }
    const auto product = core::CheckedMul(count, dimension);
    if (!product) return std::nullopt;
    count = *product;
  }
  return has_zero ? 0 : count;
}

std::string ShapeToString(const Shape& shape) {
  std::string out = "[";
  for (size_t i = 0; i < shape.size(); ++i) {
    if (i > 0) out += ", ";
    out += std::to_string(shape[i]);
  }
  return out + "]";
}

}  // namespace octavo::tensor
