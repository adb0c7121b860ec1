#include "kernels/weight_memory.h"

#include <cstdint>
#include <mutex>
#include <new>

#include <sys/mman.h>

#include "kernels/scratch.h"

namespace octavo::kernels {
namespace {

constexpr size_t kLine = 64;
constexpr size_t kRegion = size_t{64}
                           << 20;  // size and alignment, so that a pointer tells its region

// At the start of a region. One larger than kRegion holds one matrix, whose start lies in its first
// kRegion bytes.
struct Region {
  size_t size;
  size_t used;
  size_t matrices;
};
static_assert(sizeof(Region) <= kLine);

std::mutex mutex;
Region* current = nullptr;  // in which the next matrix goes if it fits

Region* MapRegion(size_t size) {
  return new (MapAligned(size, kRegion)) Region{size, kLine, 0};
}

}  // namespace

void* AllocateWeights(size_t bytes) {
  const size_t rounded = (bytes + kLine - 1) / kLine * kLine;
  const std::lock_guard lock(mutex);
  Region* region = current;
  if (region == nullptr || region->size - region->used < rounded) {
    constexpr size_t kPage = 4096;
    const size_t needed = (rounded + kLine + kPage - 1) / kPage * kPage;
    region = MapRegion(needed < kRegion ? kRegion : needed);
    if (needed <= kRegion / 2) current = region;
  }
  void* memory = reinterpret_cast<char*>(region) + region->used;
  region->used += rounded;
  ++region->matrices;
  return memory;
}

void FreeWeights(void* memory) {
  if (memory == nullptr) return;
  auto* region = reinterpret_cast<Region*>(reinterpret_cast<uintptr_t>(memory) / kRegion * kRegion);
  const std::lock_guard lock(mutex);
  if (--region->matrices > 0) return;
  if (region == current) current = nullptr;
  ::munmap(region, region->size);
}

}  // namespace octavo::kernels
