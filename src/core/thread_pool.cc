#include "core/thread_pool.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
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

// Spins for a while until done(). Returns whether it is.
template <typename Done>
bool Spin(Asker& asker, const Done& done) {
  std::optional<std::chrono::steady_clock::time_point> deadline;
  do {
    for (int i = 0; i < 32; ++i) {
      if (done()) return true;
      if (!asker.Ask()) Pause();
    }
    if (!deadline) deadline = std::chrono::steady_clock::now() + kSpin;
  } while (std::chrono::steady_clock::now() < *deadline);
  return false;
}

// What a thread has of a loop. All that it needs to begin lies in one cache line, which the caller
// writes and the thread watches: what lies elsewhere would be another wait for another core.
// `state` says which loop it is, and how many of how many pieces are taken (at most 64 or so, see
// GrainsPerPiece). Who takes one by compare-and-swap knows that the loop is still open, since it
// ends only when that piece is done, and only then may read the rest.
struct alignas(64) Share {
  std::atomic<uint64_t> state{0};
  int64_t first_piece = 0;
  int64_t piece_items = 0;
  int64_t count = 0;
  std::optional<FunctionRef<void(int64_t, int64_t)>> body;

  static constexpr uint64_t kOneTaken = uint64_t{1} << 16;
  static uint32_t LoopOf(uint64_t state) { return static_cast<uint32_t>(state >> 32); }
  uint32_t loop() const { return LoopOf(state.load(std::memory_order_acquire)); }
  void Open(uint32_t loop, uint64_t pieces) {
    state.store(uint64_t{loop} << 32 | pieces, std::memory_order_release);
  }
  // The next piece of that loop; -1 when none is left, or it is over.
  int64_t Take(uint32_t loop) {
    uint64_t now = state.load(std::memory_order_acquire);
    while (LoopOf(now) == loop) {
      const uint64_t taken = now / kOneTaken % kOneTaken;
      if (taken == now % kOneTaken) break;
      if (state.compare_exchange_weak(now, now + kOneTaken, std::memory_order_acq_rel,
                                      std::memory_order_acquire))
        return first_piece + static_cast<int64_t>(taken);
    }
    return -1;
  }
  void Run(int64_t piece) const {
    const int64_t begin = piece * piece_items;
    (*body)(begin, std::min(count, begin + piece_items));
  }
};
static_assert(sizeof(Share) == 64);

// What a thread tells the caller.
struct alignas(64) Report {
  std::atomic<uint32_t> pieces_done{0};  // of all loops
  std::atomic<bool> parked{false};
  std::atomic<uint32_t> wakes{0};

  void Wake() {
    wakes.fetch_add(1);
    wakes.notify_one();
  }
};

}  // namespace

// The caller opens a share for each thread, takes part, and is done when all pieces have been
// reported. It waits for pieces, never for threads: one that wakes up late finds nothing to take.
struct ThreadPool::State {
  static constexpr uint32_t kStop = 0xFFFFFFFF;

  // Read by all.
  alignas(64) std::atomic<bool> caller_parked{false};
  std::atomic<uint32_t> caller_wakes{0};
  std::vector<std::thread> workers;
  std::vector<Share> shares;       // of each thread; the caller's is the first
  std::vector<Report> reports;     // the same
  std::vector<Upcoming> upcoming;  // the same
  // The caller's alone.
  alignas(64) Asker asker;
  uint32_t loop = 0;
  uint32_t workers_pieces = 0;  // that workers have done in all loops so far
  std::atomic<bool> busy{false};

  // First a thread's own pieces, then what others have left. Returns how many were done.
  uint32_t TakePieces(size_t self, uint32_t which) {
    uint32_t done = 0;
    for (size_t i = 0; i < shares.size(); ++i) {
      Share& share = shares[(self + i) % shares.size()];
      for (int64_t piece; (piece = share.Take(which)) >= 0;) {
        share.Run(piece);
        ++done;
      }
    }
    return done;
  }

  void Work(size_t self) {
    const Share& mine = shares[self];
    Report& report = reports[self];
    uint32_t seen = 0;
    Asker own_asker;
    for (;;) {
      Wait(own_asker, report.parked, report.wakes, [&] { return mine.loop() != seen; });
      seen = mine.loop();
      if (seen == kStop) return;
      const uint32_t done = TakePieces(self, seen);
      // Without a piece of it the loop may be over, and the next one be prepared.
      if (done == 0) continue;
      own_asker.Set(upcoming[self]);
      report.pieces_done.store(report.pieces_done.load(std::memory_order_relaxed) + done);
      if (caller_parked.load()) {
        caller_wakes.fetch_add(1);
        caller_wakes.notify_one();
      }
    }
  }

  // Spins and then sleeps until done(). Who makes it true looks at `parked` and wakes. `parked` is
  // set long before the sleep: the caller, whose look at it is not ordered behind the opening of a
  // loop (each loop would wait for other cores), sees it in time all the same; and if it did not,
  // the loop would be done without that thread.
  template <typename Done>
  static void Wait(Asker& asker, std::atomic<bool>& parked, std::atomic<uint32_t>& wakes,
                   const Done& done) {
    if (Spin(asker, done)) return;
    for (;;) {
      const uint32_t before = wakes.load();
      parked.store(true);
      if (Spin(asker, done)) break;
      wakes.wait(before);
    }
    parked.store(false);
  }

  void RunLoop(int64_t count, int64_t piece_items, FunctionRef<void(int64_t, int64_t)> body) {
    const int64_t pieces = (count - 1) / piece_items + 1;
    const auto threads = static_cast<int64_t>(shares.size());
    if (++loop == kStop) loop = 1;
    for (int64_t t = threads - 1; t >= 0; --t) {
      Share& share = shares[static_cast<size_t>(t)];
      const int64_t first = pieces * t / threads;
      share.first_piece = first;
      share.piece_items = piece_items;
      share.count = count;
      share.body.emplace(body);
      share.Open(loop, static_cast<uint64_t>(pieces * (t + 1) / threads - first));
    }
    for (size_t t = 1; t < reports.size(); ++t) {
      if (reports[t].parked.load(std::memory_order_relaxed)) reports[t].Wake();
    }
    const uint32_t done = TakePieces(0, loop);
    workers_pieces += static_cast<uint32_t>(pieces) - done;
    asker.Set(upcoming[0]);
    Wait(asker, caller_parked, caller_wakes, [&] {
      uint32_t sum = 0;
      for (size_t t = 1; t < reports.size(); ++t) sum += reports[t].pieces_done.load();
      return sum == workers_pieces;
    });
  }
};

ThreadPool::ThreadPool(int threads) : state_(std::make_unique<State>()) {
  const int wanted = threads > 0 ? threads : AvailableCores();
  state_->shares = std::vector<Share>(static_cast<size_t>(wanted));
  state_->reports = std::vector<Report>(static_cast<size_t>(wanted));
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
  for (Share& share : state_->shares) share.state.store(uint64_t{State::kStop} << 32);
  for (Report& report : state_->reports) report.Wake();
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
  state_->RunLoop(count, GrainsPerPiece(grains, size()) * grain, body);
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
