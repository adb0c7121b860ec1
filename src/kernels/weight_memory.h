// Memory of packed weights, in large pages.
#pragma once

#include <cstddef>

namespace octavo::kernels {

// At least `bytes` of zeroed memory, 64-byte aligned, to be given to FreeWeights. Many matrices
// share regions of 64 MiB, which lie in pages of 2 MiB where the system has them: a matrix of half
// a megabyte in pages of 4 KiB is slowed by the page table and by prefetchers that stop where a
// page ends. A region goes back to the system with the last of its matrices. Throws std::bad_alloc;
// thread-safe.
void* AllocateWeights(size_t bytes);
void FreeWeights(void* memory);

}  // namespace octavo::kernels
