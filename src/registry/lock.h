// One writer at a time: a lock file that a process holds while it changes the store, released even
// by SIGKILL.
#pragma once

#include <optional>
#include <string>

#include "core/result.h"

namespace octavo::registry {

// Holds the lock until destroyed.
class StoreLock {
 public:
  // Waits until the lock is free.
  static core::Result<StoreLock> Wait(const std::string& path);
  // Nothing when another process holds it.
  static core::Result<std::optional<StoreLock>> Try(const std::string& path);
  StoreLock(StoreLock&& other) noexcept;
  StoreLock& operator=(StoreLock&&) = delete;
  ~StoreLock();

 private:
  explicit StoreLock(int fd) : fd_(fd) {}
  int fd_;
};

}  // namespace octavo::registry
