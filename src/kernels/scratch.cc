#include "kernels/scratch.h"

#include <cstdint>
#include <cstdlib>
#include <new>

#include <sys/mman.h>

namespace octavo::kernels {

void* AllocateAligned(size_t bytes) {
  constexpr size_t kLine = 64;
  constexpr size_t kLargePage = size_t{2} << 20;
  const bool large = bytes >= 2 * kLargePage;
  const size_t rounded = (bytes + kLine - 1) / kLine * kLine;
  void* memory = nullptr;
  if (::posix_memalign(&memory, large ? kLargePage : kLine, rounded) != 0) throw std::bad_alloc();
  // Only whole large pages: the rest of the last one is not taken.
  if (large) ::madvise(memory, rounded / kLargePage * kLargePage, MADV_HUGEPAGE);
  return memory;
}

void* MapAligned(size_t bytes, size_t alignment) {
  // As much more as it takes to find an aligned start; what is over goes back.
  const size_t mapped = bytes + alignment;
  if (mapped < bytes) throw std::bad_alloc();
  void* memory = ::mmap(nullptr, mapped, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  auto* start = static_cast<char*>(memory);
  const size_t before = (alignment - reinterpret_cast<uintptr_t>(start) % alignment) % alignment;
  if (before > 0) ::munmap(start, before);
  ::munmap(start + before + bytes, mapped - before - bytes);
  start += before;
  ::madvise(start, bytes, MADV_HUGEPAGE);
  return start;
}

float* FloatBuffer::Reserve(int64_t floats) {
  if (floats > capacity_) {
    data_.reset(static_cast<float*>(AllocateAligned(static_cast<size_t>(floats) * sizeof(float))));
    capacity_ = floats;
  }
  return data_.get();
}

float* ThreadScratch(int64_t floats) {
  thread_local FloatBuffer buffer;
  // NOLINTNEXTLINE(clang-analyzer-unix.Malloc): it takes a thread's buffer for one of this call
  return buffer.Reserve(floats);
}

}  // namespace octavo::kernels
