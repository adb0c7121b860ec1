// What this machine can do at most, measured: the limits that the engine's speed is compared with.
#pragma once

#include <cstdint>
#include <optional>

#include "core/thread_pool.h"
#include "kernels/scratch.h"
#include "kernels/table.h"

namespace octavo::kernels {

// Multiply-adds count as two operations.
struct MachineLimits {
  double read_bytes_per_s = 0;  // of memory, the best over thread counts
  std::optional<double> int8_ops_per_s;
  std::optional<double> bf16_ops_per_s;
  double f32_ops_per_s = 0;
};

// How fast this machine reads so many bytes over and over. Not thread-safe.
class MemoryReader {
 public:
  // Takes and writes a buffer of `bytes`, but no more of it than tells memory from the last-level
  // cache, 8 times its size and at least 256 MiB. nullopt when there is no memory for it.
  static std::optional<MemoryReader> Make(uint64_t bytes, core::ThreadPool& pool);
  // By all threads of the pool or by one, whichever is faster; the best of several trials, a third
  // of a second in all.
  double BytesPerSecond(core::ThreadPool& pool) const;

 private:
  FloatBuffer buffer_;
  const float* data_ = nullptr;
  int64_t pieces_ = 0;
};

// Operations per second of the active table's multiply-adds on registers, on all threads; nullopt
// where it has none.
std::optional<double> PeakOpsPerSecond(InputType type, core::ThreadPool& pool);
// All of it, memory by a buffer that no cache holds (at most a quarter of what is free). Takes a
// second or two.
MachineLimits MeasureMachine(core::ThreadPool& pool);

}  // namespace octavo::kernels
