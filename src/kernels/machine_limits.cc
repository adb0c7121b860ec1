#include "kernels/machine_limits.h"

#include <algorithm>
#include <atomic>
#include <new>
#include <vector>

#include "core/clock.h"
#include "core/host.h"
#include "kernels/cpu.h"
#include "kernels/dispatch.h"
#include "kernels/scratch.h"

namespace octavo::kernels {
namespace {

constexpr int kTrials = 3;
constexpr int64_t kPieceFloats = int64_t{1} << 18;

uint64_t BytesBeyondCache() {
  return std::max<uint64_t>(8 * core::LastLevelCacheBytes(), uint64_t{1} << 28);
}

// Seconds of one pass over the buffer.
double ReadOnce(const float* data, int64_t pieces, bool all_threads, core::ThreadPool& pool) {
  const KernelTable& table = ActiveTable();
  std::atomic<float> kept{0};
  const auto read = [&](int64_t begin, int64_t end) {
    kept.store(
        table.read(data + begin * kPieceFloats, (end - begin) * kPieceFloats, HostCpu().strands),
        std::memory_order_relaxed);
  };
  const core::Stopwatch watch;
  if (all_threads) {
    pool.ParallelFor(pieces, 1, read);
  } else {
    read(0, pieces);
  }
  return watch.Seconds();
}

}  // namespace

std::optional<MemoryReader> MemoryReader::Make(uint64_t bytes, core::ThreadPool& pool) {
  MemoryReader out;
  bytes = std::min(bytes, BytesBeyondCache());
  out.pieces_ = std::max<int64_t>(1, static_cast<int64_t>(bytes / sizeof(float)) / kPieceFloats);
  float* data = nullptr;
  try {
    data = out.buffer_.Reserve(out.pieces_ * kPieceFloats);
  } catch (const std::bad_alloc&) {
    return std::nullopt;
  }
  pool.ParallelFor(out.pieces_, 1, [&](int64_t begin, int64_t end) {
    std::fill(data + begin * kPieceFloats, data + end * kPieceFloats, 1.5F);
  });
  out.data_ = data;
  return out;
}

double MemoryReader::BytesPerSecond(core::ThreadPool& pool) const {
  const double total = static_cast<double>(pieces_ * kPieceFloats) * sizeof(float);
  double best = 0;
  for (const bool all_threads : {true, false}) {
    // At least 50 ms a trial, so that a small buffer is read often enough to be timed.
    const double once = ReadOnce(data_, pieces_, all_threads, pool);
    const int repeats = std::clamp(static_cast<int>(0.05 / once), 1, 10000);
    for (int trial = 0; trial < kTrials; ++trial) {
      double seconds = 0;
      for (int i = 0; i < repeats; ++i) seconds += ReadOnce(data_, pieces_, all_threads, pool);
      best = std::max(best, total * repeats / seconds);
    }
  }
  return best;
}

std::optional<double> PeakOpsPerSecond(InputType type, core::ThreadPool& pool) {
  const PeakEntry& peak = ActiveTable().peaks[static_cast<int>(type)];
  if (peak.run == nullptr) return std::nullopt;
  std::atomic<float> kept{0};
  const auto seconds_of = [&](int64_t rounds) {
    const core::Stopwatch watch;
    pool.ParallelFor(pool.size(), 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) kept.store(peak.run(rounds), std::memory_order_relaxed);
    });
    return watch.Seconds();
  };
  int64_t rounds = 1000;
  while (seconds_of(rounds) < 0.02 && rounds < int64_t{1} << 40) rounds *= 2;
  double best = 0;
  for (int trial = 0; trial < kTrials; ++trial) {
    const double operations =
        2.0 * static_cast<double>(peak.multiply_adds) * static_cast<double>(rounds) * pool.size();
    best = std::max(best, operations / seconds_of(rounds));
  }
  return best;
}

MachineLimits MeasureMachine(core::ThreadPool& pool) {
  uint64_t bytes = BytesBeyondCache();
  if (const auto available = core::AvailableMemoryBytes()) bytes = std::min(bytes, *available / 4);
  MachineLimits out;
  if (const auto reader = MemoryReader::Make(bytes, pool))
    out.read_bytes_per_s = reader->BytesPerSecond(pool);
  out.int8_ops_per_s = PeakOpsPerSecond(InputType::kI8, pool);
  out.bf16_ops_per_s = PeakOpsPerSecond(InputType::kBf16, pool);
  out.f32_ops_per_s = PeakOpsPerSecond(InputType::kF32, pool).value_or(0);
  return out;
}

}  // namespace octavo::kernels
