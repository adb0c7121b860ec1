// One thread that does what it is handed, in order, beside the thread that hands it over: writing
// or hashing one piece while the next is computed.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>

#include "core/result.h"

namespace octavo::core {

// Add and Finish are for one thread. A work may refer to what outlives the lane only.
class Lane {
 public:
  // At most `most_waiting` works wait, which bounds what they hold.
  explicit Lane(size_t most_waiting);
  // Drops what waits.
  ~Lane();
  Lane(const Lane&) = delete;
  Lane& operator=(const Lane&) = delete;

  // Waits for room. Returns the first error of the works so far; after one, no work is done.
  Status Add(std::function<Status()> work);
  // Waits until all works are done; the first error. Nothing may be added afterwards.
  Status Finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace octavo::core
