// What a long step tells about itself while it runs, and how it learns that it should stop. Modules
// call it; the command line draws it.
#pragma once

#include <atomic>
#include <cstdint>
#include <string_view>

#include "core/result.h"

namespace octavo::core {

// Thread-safety: calls come from the one thread that drives the step.
class Progress {
 public:
  virtual ~Progress() = default;
  // A new step with `total` units of work ("tensors", "tokens", "bytes"); 0 when it is not known.
  virtual void Begin(std::string_view step, int64_t total, std::string_view unit) = 0;
  virtual void Advance(int64_t units) = 0;
  // One short fact worth a line of its own, e.g. a partial result.
  virtual void Note(std::string_view text) = 0;
  virtual void End() = 0;
};

// Swallows everything; for tests and for callers that do not care.
Progress& SilentProgress();

// Set by a signal handler or by another thread; long steps ask it at least a few times a second.
class CancelToken {
 public:
  void Cancel() { cancelled_.store(true, std::memory_order_relaxed); }
  bool cancelled() const { return cancelled_.load(std::memory_order_relaxed); }
  // An Interrupted error when cancelled.
  Status Check() const;

 private:
  std::atomic<bool> cancelled_{false};
};

}  // namespace octavo::core
