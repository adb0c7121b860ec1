#include "core/thread_pool.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <system_error>
#include <thread>
#include <vector>

#include <sched.h>

#include "core/check.h"

namespace octavo::core {
namespace {

// Longer than the serial work between two loops of a decode step, shorter than anything that costs
// real power.
constexpr std::chrono::microseconds kSpin{40};

void Pause() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Several pieces for each thread, so that one that is held up leaves the rest to the others.
int64_t GrainsPerPiece(int64_t grains, int threads) {
  return std::max<int64_t>(1, grains / (int64_t{32} * threads));
}

// Memory that a thread asks for while it waits, from front to back.
class Asker {
 public:
  void Set(const ThreadPool::Upcoming& memory) {
    if (memory.first.data() == memory_.first.data()) return;
    memory_ = memory;
    asked_ = 0;
  }
  // Some lines more. False when all have been asked for.
  bool Ask() {
    const size_t end = std::max(memory_.first.size(), memory_.second.size());
    if (asked_ >= end) return false;
    for (int i = 0; i < 2; ++i, asked_ += kLine) {
      if (asked_ < memory_.first.size())
        __builtin_prefetch(&memory_.first[asked_], 0, kSecondLevel);
      if (asked_ < memory_.second.size())
        __builtin_prefetch(&memory_.second[asked_], 0, kSecondLevel);
    }
    return true;
  }

 private:
  static constexpr size_t kLine = 64;
  static constexpr int kSecondLevel = 2;
  ThreadPool::Upcoming memory_;
  size_t asked_ = 0;
};

// Waits until done(value of `word`), first spinning, then parked. Whoever changes `word` so that it
// may become true must notify. Returns the value.
template <typename Done>
uint32_t SpinThenPark(const std::atomic<uint32_t>& word, Asker& asker, const Done& done) {
  const auto deadline = std::chrono::steady_clock::now() + kSpin;
  do {
    for (int i = 0; i < 32; ++i) {
      const uint32_t value = word.load();
      if (done(value)) return value;
      if (!asker.Ask()) Pause();
    }
  } while (std::chrono::steady_clock::now() < deadline);
  for (;;) {
    const uint32_t value = word.load();
    if (done(value)) return value;
    word.wait(value);
  }
}

}  // namespace

// A loop is open while pieces may be taken. A worker enters by counting itself in `inside` and then
// looking at the gate; the caller closes the gate and then waits for `inside` to reach zero. With
// both in one sequentially consistent order, no worker can be inside a loop that the caller has
// left, and none that wakes up late is waited for.
struct ThreadPool::State {
  static constexpr uint32_t kStop = 0xFFFFFFFF;

  struct alignas(64) Share {
    std::atomic<int64_t> next{0};
    int64_t end = 0;
  };

  std::vector<std::thread> workers;
  alignas(64) std::atomic<uint32_t> gate{
      0};  // odd while a loop is open; every loop has another value
  alignas(64) std::atomic<uint32_t> inside{0};
  alignas(64) std::atomic<bool> busy{false};
  // Written by the caller while the gate is closed and nobody is inside.
  int64_t count = 0;
  int64_t piece_items = 0;
  const FunctionRef<void(int64_t, int64_t)>* body = nullptr;
  std::vector<Share> shares;       // of each thread; the caller's is the first
  std::vector<Upcoming> upcoming;  // the same
  Asker asker;                     // the caller's

  // First a thread's own pieces, then what others have left.
  void TakePieces(size_t self) {
    for (size_t i = 0; i < shares.size(); ++i) {
      Share& share = shares[(self + i) % shares.size()];
      for (;;) {
        const int64_t piece = share.next.fetch_add(1, std::memory_order_relaxed);
        if (piece >= share.end) break;
        const int64_t begin = piece * piece_items;
        (*body)(begin, std::min(count, begin + piece_items));
      }
    }
  }

  void Work(size_t self) {
    uint32_t seen = 0;
    Asker mine;
    for (;;) {
      seen =
          SpinThenPark(gate, mine, [&](uint32_t value) { return value % 2 == 1 && value != seen; });
      if (seen == kStop) return;
      inside.fetch_add(1);
      if (gate.load() == seen) {
        TakePieces(self);
        mine.Set(upcoming[self]);
      }
      if (inside.fetch_sub(1) == 1) inside.notify_one();
    }
  }

  void RunLoop(int64_t pieces) {
    const auto threads = static_cast<int64_t>(shares.size());
    for (int64_t t = 0; t < threads; ++t) {
      Share& share = shares[static_cast<size_t>(t)];
      share.next.store(pieces * t / threads, std::memory_order_relaxed);
      share.end = pieces * (t + 1) / threads;
    }
    uint32_t open = gate.load() + 1;
    if (open == kStop) open = 1;
    gate.store(open);
    gate.notify_all();
    TakePieces(0);
    gate.store(open + 1);
    asker.Set(upcoming[0]);
    SpinThenPark(inside, asker, [](uint32_t value) { return value == 0; });
  }
};

ThreadPool::ThreadPool(int threads) : state_(std::make_unique<State>()) {
  const int wanted = threads > 0 ? threads : AvailableCores();
  state_->shares = std::vector<State::Share>(static_cast<size_t>(wanted));
  state_->upcoming.resize(static_cast<size_t>(wanted));
  try {
    for (int i = 1; i < wanted; ++i) {
      state_->workers.emplace_back(
          [state = state_.get(), i] { state->Work(static_cast<size_t>(i)); });
    }
  } catch (const std::system_error&) {
    // The process may start no more threads: the pool is smaller, its results are the same.
  }
}

ThreadPool::~ThreadPool() {
  state_->gate.store(State::kStop);
  state_->gate.notify_all();
  for (std::thread& worker : state_->workers) worker.join();
}

int ThreadPool::size() const {
  return static_cast<int>(state_->workers.size()) + 1;
}

void ThreadPool::ParallelFor(int64_t count, int64_t grain,
                             FunctionRef<void(int64_t, int64_t)> body) {
  if (count <= 0) return;
  grain = std::max<int64_t>(grain, 1);
  // Busy: called from inside a loop.
  if (count <= grain || size() == 1 || state_->busy.exchange(true)) {
    body(0, count);
    return;
  }
  // Whole grains, so that pieces begin at multiples of the caller's block.
  const int64_t grains = (count - 1) / grain + 1;
  const int64_t grains_per_piece = GrainsPerPiece(grains, size());
  state_->count = count;
  state_->piece_items = grains_per_piece * grain;
  state_->body = &body;
  state_->RunLoop((grains - 1) / grains_per_piece + 1);
  state_->busy.store(false);
}

void ThreadPool::ReadNext(FunctionRef<Upcoming(int)> upcoming) {
  for (int t = 0; t < size(); ++t) state_->upcoming[static_cast<size_t>(t)] = upcoming(t);
}

int64_t ThreadPool::FirstItem(int64_t count, int thread) const {
  const int64_t per_piece = GrainsPerPiece(count, size());
  const int64_t pieces = (count - 1) / per_piece + 1;
  return pieces * thread / size() * per_piece;
}

bool ThreadPool::NextIsOwn(int64_t count, int64_t i) const {
  if (i + 1 >= count) return false;
  const int64_t per_piece = GrainsPerPiece(count, size());
  const int64_t pieces = (count - 1) / per_piece + 1;
  // The last thread whose share begins at a piece or before it.
  const auto owner = [&](int64_t piece) { return ((piece + 1) * size() - 1) / pieces; };
  return owner(i / per_piece) == owner((i + 1) / per_piece);
}

int AvailableCores() {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  if (::sched_getaffinity(0, sizeof(cores), &cores) == 0) return std::max(1, CPU_COUNT(&cores));
  // More cores than a cpu_set_t holds.
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

}  // namespace octavo::core
