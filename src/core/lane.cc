#include "core/lane.h"

#include <condition_variable>
#include <deque>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

#include "core/check.h"

namespace octavo::core {

struct Lane::State {
  explicit State(size_t most) : most_waiting(most) {}

  void Run() {
    std::unique_lock lock(mutex);
    for (;;) {
      changed.wait(lock, [&] { return !waiting.empty() || closed; });
      if (waiting.empty()) return;
      {
        const std::function<Status()> work = std::move(waiting.front());
        waiting.pop_front();
        changed.notify_all();
        if (!status.ok()) continue;
        lock.unlock();
        Status done = work();
        lock.lock();
        if (!done.ok()) status = std::move(done);
      }
    }
  }

  void Close() {
    {
      const std::lock_guard lock(mutex);
      closed = true;
    }
    changed.notify_all();
    if (thread.joinable()) thread.join();
  }

  const size_t most_waiting;
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<std::function<Status()>> waiting;
  bool closed = false;
  Status status;
  std::thread thread;
};

Lane::Lane(size_t most_waiting) : state_(std::make_unique<State>(most_waiting)) {
  try {
    state_->thread = std::thread([state = state_.get()] { state->Run(); });
  } catch (const std::system_error&) {
    // The process may start no more threads: works are done as they are added.
  }
}

Lane::~Lane() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->waiting.clear();
  }
  state_->Close();
}

Status Lane::Add(std::function<Status()> work) {
  std::unique_lock lock(state_->mutex);
  OCTAVO_CHECK(!state_->closed);
  if (!state_->thread.joinable()) {
    if (state_->status.ok()) state_->status = work();
    return state_->status;
  }
  state_->changed.wait(lock, [&] { return state_->waiting.size() < state_->most_waiting; });
  if (state_->status.ok()) {
    state_->waiting.push_back(std::move(work));
    state_->changed.notify_all();
  }
  return state_->status;
}

Status Lane::Finish() {
  state_->Close();
  return state_->status;
}

}  // namespace octavo::core
