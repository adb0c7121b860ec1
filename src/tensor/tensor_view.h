// A tensor that lies in somebody else's memory: type, shape and bytes, row-major and contiguous.
#pragma once

#include "core/bytes.h"
#include "tensor/dtype.h"
#include "tensor/shape.h"

namespace octavo::tensor {

// Does not own `bytes`; whoever made it says how long they live. bytes.size() ==
// ElementCount(shape) * DTypeSize(dtype), which the reader that made it has checked. The bytes may
// be unaligned.
struct TensorView {
  DType dtype = DType::kF32;
  Shape shape;
  core::ByteSpan bytes;

  int64_t rank() const { return static_cast<int64_t>(shape.size()); }
  int64_t elements() const { return static_cast<int64_t>(bytes.size() / DTypeSize(dtype)); }
};

}  // namespace octavo::tensor
