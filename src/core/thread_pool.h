// A fixed pool of threads that run one loop at a time; workers spin briefly for the next loop,
// asking for the memory that they read in it, and then park.
#pragma once

#include <cstdint>
#include <memory>

#include "core/bytes.h"
#include "core/function_ref.h"

namespace octavo::core {

// The caller takes part in each loop, so a pool of 1 starts no thread. One ParallelFor at a time; a
// call from inside a loop runs serially on the calling thread. Parallel regions decide only who
// computes an output, never how it is summed.
class ThreadPool {
 public:
  // `threads` <= 0 means one for each core this process may use (sched_getaffinity).
  explicit ThreadPool(int threads = 0);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const;
  // Calls body(begin, end) over [0, count) cut into pieces of at least `grain` items, at most one
  // piece at a time per thread, and returns when all are done. Each thread begins with the same
  // share of the range in every loop, so that what one loop wrote is in the cache of the thread
  // that reads it in the next; who is done early takes from the others. The body must not throw.
  // Allocates nothing.
  void ParallelFor(int64_t count, int64_t grain, FunctionRef<void(int64_t, int64_t)> body);
  // What a thread reads next: two places, read side by side.
  struct Upcoming {
    ByteSpan first;
    ByteSpan second;
  };
  // upcoming(thread) for each thread, the caller's is 0: while it waits, for the end of a loop or
  // the beginning of the next, it asks for that memory, until ReadNext is called again. A hint: it
  // need not be true, nor the memory still there. Not to be called from inside a loop.
  void ReadNext(FunctionRef<Upcoming(int)> upcoming);
  // The item at which a thread begins in a loop over `count` items with grain 1.
  int64_t FirstItem(int64_t count, int thread) const;
  // Whether item i + 1 of a loop over `count` items with grain 1 follows item i in the share of the
  // same thread.
  bool NextIsOwn(int64_t count, int64_t i) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// How many cores this process may use.
int AvailableCores();

}  // namespace octavo::core
