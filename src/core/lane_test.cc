#include "core/lane.h"

#include <atomic>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace octavo::core {
namespace {

TEST(Lane, DoesWorksInOrderAndFinishWaitsForThem) {
  std::vector<int> done;
  Lane lane(2);
  for (int i = 0; i < 100; ++i) {
    const Status added = lane.Add([&done, i]() -> Status {
      done.push_back(i);
      return {};
    });
    ASSERT_TRUE(added.ok());
  }
  ASSERT_TRUE(lane.Finish().ok());
  ASSERT_EQ(done.size(), 100U);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(done[static_cast<size_t>(i)], i);
}

TEST(Lane, TheFirstErrorEndsAllWorkAndIsToldByAddAndFinish) {
  int later = 0;
  Lane lane(1);
  ASSERT_TRUE(lane.Add([]() -> Status { return Invalid("first"); }).ok());
  Status added;
  for (int i = 0; i < 3; ++i) {
    added = lane.Add([&later]() -> Status {
      ++later;
      return Invalid("second");
    });
  }
  ASSERT_FALSE(added.ok());
  EXPECT_EQ(added.error().message(), "first");
  const Status finished = lane.Finish();
  ASSERT_FALSE(finished.ok());
  EXPECT_EQ(finished.error().message(), "first");
  EXPECT_EQ(later, 0);
}

TEST(Lane, AddWaitsForRoom) {
  std::atomic<int> begun{0};
  std::atomic<bool> go{false};
  std::atomic<int> added{0};
  Lane lane(2);
  std::thread producer([&] {
    for (int i = 0; i < 5; ++i) {
      const Status status = lane.Add([&]() -> Status {
        begun.fetch_add(1);
        while (!go) std::this_thread::yield();
        return {};
      });
      EXPECT_TRUE(status.ok());
      added.fetch_add(1);
    }
  });
  // One is under way and two wait; the fourth has no room until the first is done.
  while (begun < 1 || added < 3) std::this_thread::yield();
  EXPECT_EQ(begun, 1);
  EXPECT_EQ(added, 3);
  go = true;
  producer.join();
  EXPECT_TRUE(lane.Finish().ok());
  EXPECT_EQ(begun, 5);
}

TEST(Lane, DroppedWithoutFinishItLeavesWhatWaits) {
  std::atomic<bool> begun{false};
  std::atomic<bool> go{false};
  std::atomic<int> done{0};
  {
    Lane lane(4);
    for (int i = 0; i < 3; ++i) {
      const Status status = lane.Add([&]() -> Status {
        begun = true;
        while (!go) std::this_thread::yield();
        done.fetch_add(1);
        return {};
      });
      ASSERT_TRUE(status.ok());
    }
    while (!begun) std::this_thread::yield();
    go = true;
  }
  // The one under way is finished; of the others none, or those that came before the end.
  EXPECT_GE(done, 1);
  EXPECT_LE(done, 3);
}

}  // namespace
}  // namespace octavo::core
