// Scratch memory of the engine: aligned buffers of f32 that grow and are kept, so that a token
// allocates nothing.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>

namespace octavo::kernels {

// At least `bytes` of memory, 64-byte aligned, to be given to std::free; large pieces in large
// pages where the system has them, so that reading them is not slowed by the page table. Throws
// std::bad_alloc.
void* AllocateAligned(size_t bytes);

// Zeroed memory of `bytes`, a multiple of 4,096, at a multiple of `alignment`, a power of two from
// 4,096 on; to be given to munmap. It is taken from the system when it is first touched, in large
// pages where there are some. Throws std::bad_alloc.
void* MapAligned(size_t bytes, size_t alignment);

// 64-byte aligned f32. Movable; contents are lost when it grows.
class FloatBuffer {
 public:
  // At least `floats` f32.
  float* Reserve(int64_t floats);
  int64_t bytes() const { return capacity_ * static_cast<int64_t>(sizeof(float)); }

 private:
  struct Free {
    void operator()(float* p) const { std::free(p); }
  };
  std::unique_ptr<float[], Free> data_;
  int64_t capacity_ = 0;
};

// At least `floats` f32 that the calling thread owns and the next call on it overwrites.
float* ThreadScratch(int64_t floats);

}  // namespace octavo::kernels
