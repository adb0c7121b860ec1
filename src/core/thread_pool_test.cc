#include "core/thread_pool.h"

#include <atomic>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace octavo::core {
namespace {

TEST(ThreadPool, EveryItemIsDoneOnceWhateverTheShape) {
  for (const int threads : {1, 2, 5}) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.size(), threads);
    for (const int64_t count : {0, 1, 2, 7, 64, 1000, 1001}) {
      for (const int64_t grain : {0, 1, 3, 64, 5000}) {
        std::vector<int> done(static_cast<size_t>(count), 0);
        pool.ParallelFor(count, grain, [&](int64_t begin, int64_t end) {
          for (int64_t i = begin; i < end; ++i) ++done[static_cast<size_t>(i)];
        });
        EXPECT_EQ(done, std::vector<int>(static_cast<size_t>(count), 1))
            << threads << " threads, " << count << " items, grain " << grain;
      }
    }
  }
}

TEST(ThreadPool, PiecesAreWholeGrains) {
  ThreadPool pool(4);
  std::mutex mutex;
  std::set<std::pair<int64_t, int64_t>> pieces;
  pool.ParallelFor(1003, 8, [&](int64_t begin, int64_t end) {
    const std::lock_guard<std::mutex> lock(mutex);
    pieces.insert({begin, end});
  });
  int64_t expected_begin = 0;
  for (const auto& [begin, end] : pieces) {
    EXPECT_EQ(begin, expected_begin);
    EXPECT_EQ(begin % 8, 0);
    EXPECT_TRUE(end % 8 == 0 || end == 1003);
    expected_begin = end;
  }
  EXPECT_EQ(expected_begin, 1003);
  EXPECT_GT(pieces.size(), 4u);
}

// Each body waits until all threads are in the loop, so that a pool that did not use them would
// never end.
TEST(ThreadPool, AllThreadsTakePart) {
  ThreadPool pool(3);
  std::atomic<int> inside{0};
  std::mutex mutex;
  std::set<std::thread::id> ids;
  pool.ParallelFor(3, 1, [&](int64_t, int64_t) {
    inside.fetch_add(1);
    while (inside.load() < 3) std::this_thread::yield();
    const std::lock_guard<std::mutex> lock(mutex);
    ids.insert(std::this_thread::get_id());
  });
  EXPECT_EQ(ids.size(), 3u);
}

// Both threads wait in their first piece for the other, so each begins with its own share.
TEST(ThreadPool, TheNextItemIsOwnButAtTheEndOfAShare) {
  ThreadPool pool(2);
  for (const int64_t count : {2, 3, 9, 15, 24, 63, 64, 65, 200, 1000}) {
    std::atomic<int> begun{0};
    std::atomic<int64_t> second_share{0};
    pool.ParallelFor(count, 1, [&](int64_t begin, int64_t) {
      if (begun.fetch_add(1) < 2 && begin > 0) second_share.store(begin);
      while (begun.load() < 2) std::this_thread::yield();
    });
    ASSERT_EQ(second_share.load(), pool.FirstItem(count, 1)) << count;
    ASSERT_EQ(pool.FirstItem(count, 0), 0) << count;
    for (int64_t i = 0; i < count; ++i)
      ASSERT_EQ(pool.NextIsOwn(count, i), i + 1 != second_share.load() && i + 1 != count)
          << i << " of " << count;
  }
}

// What is asked for changes between loops, while workers still wait from the one before.
TEST(ThreadPool, WhatIsReadNextChangesNothing) {
  ThreadPool pool(4);
  const std::vector<std::byte> memory(5000);
  const ByteSpan all = memory;
  std::set<int> asked;
  for (size_t round = 0; round < 2000; ++round) {
    pool.ReadNext([&](int thread) -> ThreadPool::Upcoming {
      asked.insert(thread);
      if (round % 3 == 0) return {};
      return {all.subspan(round % 7 * 64), all.first(round % 5 * 100)};
    });
    std::atomic<int64_t> sum{0};
    pool.ParallelFor(8, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) sum += i;
    });
    ASSERT_EQ(sum.load(), 28);
  }
  EXPECT_EQ(asked, (std::set<int>{0, 1, 2, 3}));
}

TEST(ThreadPool, LoopInsideALoopRunsSerially) {
  ThreadPool pool(3);
  std::atomic<int64_t> sum{0};
  pool.ParallelFor(16, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const std::thread::id outer = std::this_thread::get_id();
      pool.ParallelFor(100, 1, [&](int64_t inner_begin, int64_t inner_end) {
        EXPECT_EQ(std::this_thread::get_id(), outer);
        sum += inner_end - inner_begin;
      });
    }
  });
  EXPECT_EQ(sum.load(), 1600);
}

// Many short loops with reused plain memory: a worker that lingered in an old loop would be seen by
// ThreadSanitizer, or as a wrong sum.
TEST(ThreadPool, LoopsInARowDoNotMix) {
  ThreadPool pool(4);
  std::vector<int64_t> values(64);
  for (int64_t round = 0; round < 20'000; ++round) {
    pool.ParallelFor(64, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) values[static_cast<size_t>(i)] = round + i;
    });
    int64_t sum = 0;
    for (const int64_t value : values) sum += value;
    ASSERT_EQ(sum, 64 * round + 64 * 63 / 2);
  }
}

// The serial part takes longer than workers spin, so that they are parked when the next loop opens.
TEST(ThreadPool, ParkedWorkersComeBack) {
  ThreadPool pool(2);
  for (int round = 0; round < 20; ++round) {
    const auto end_of_break = std::chrono::steady_clock::now() + std::chrono::milliseconds(1);
    while (std::chrono::steady_clock::now() < end_of_break) {
    }
    std::atomic<int> inside{0};
    pool.ParallelFor(2, 1, [&](int64_t, int64_t) {
      inside.fetch_add(1);
      while (inside.load() < 2) std::this_thread::yield();
    });
    EXPECT_EQ(inside.load(), 2);
  }
}

TEST(ThreadPool, DefaultSizeIsTheCoresOfThisProcess) {
  EXPECT_GE(AvailableCores(), 1);
  EXPECT_EQ(ThreadPool().size(), AvailableCores());
}

}  // namespace
}  // namespace octavo::core
