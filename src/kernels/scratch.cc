#include "kernels/scratch.h"

#include <new>

namespace octavo::kernels {

float* FloatBuffer::Reserve(int64_t floats) {
  if (floats > capacity_) {
    const size_t bytes = (static_cast<size_t>(floats) * sizeof(float) + 63) / 64 * 64;
    data_.reset(static_cast<float*>(std::aligned_alloc(64, bytes)));
    if (data_ == nullptr) throw std::bad_alloc();
    capacity_ = floats;
  }
  return data_.get();
}

float* ThreadScratch(int64_t floats) {
  thread_local FloatBuffer buffer;
  return buffer.Reserve(floats);
}

}  // namespace octavo::kernels
