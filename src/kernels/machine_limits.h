// What this machine can do at most, measured: the limits that the engine's speed is compared with.
#pragma once

#include <cstdint>
#include <optional>

#include "core/thread_pool.h"
#include "kernels/table.h"

namespace octavo::kernels {

// Multiply-adds count as two operations.
struct MachineLimits {
  double read_bytes_per_s = 0;  // of memory, the best over thread counts
  std::optional<double> int8_ops_per_s;
  std::optional<double> bf16_ops_per_s;
  double f32_ops_per_s = 0;
};

// Bytes read per second from a buffer of `bytes` that was written before, over and over, by all
// threads of the pool or by one, whichever is faster. nullopt when there is no memory for it.
std::optional<double> ReadBytesPerSecond(uint64_t bytes, core::ThreadPool& pool);
// Operations per second of the active table's multiply-adds on registers, on all threads; nullopt
// where it has none.
std::optional<double> PeakOpsPerSecond(InputType type, core::ThreadPool& pool);
// All of it, memory by a buffer of 8 times the last-level cache (at most a quarter of what is
// free). Takes a second or two.
MachineLimits MeasureMachine(core::ThreadPool& pool);

}  // namespace octavo::kernels
