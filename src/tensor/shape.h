// The dimensions of a tensor, outermost first, and how many elements they make.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace octavo::tensor {

using Shape = std::vector<int64_t>;

// The product of the dimensions (1 for a scalar, rank 0); nothing if one is negative or the product
// overflows.
std::optional<int64_t> ElementCount(const Shape& shape);
// "[576, 1536]"
std::string ShapeToString(const Shape& shape);

}  // namespace octavo::tensor
