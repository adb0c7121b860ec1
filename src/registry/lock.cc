// flock(2) on a file that is never removed.
#include "registry/lock.h"

#include <cerrno>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include "core/bytes.h"

namespace octavo::registry {
namespace {

core::Error LockError(const std::string& path) {
  return core::IoError(fmt::format("{}: cannot be locked ({}): check that its folder is writable",
                                   core::PrintablePath(path), std::strerror(errno)));
}

// The descriptor, or -1 when `operation` has LOCK_NB and the lock is taken.
core::Result<int> OpenAndLock(const std::string& path, int operation) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return LockError(path);
  while (::flock(fd, operation) != 0) {
    if (errno == EINTR) continue;
    const bool taken = errno == EWOULDBLOCK;
    const core::Error error = LockError(path);
    ::close(fd);
    if (taken) return -1;
    return error;
  }
  return fd;
}

}  // namespace

core::Result<StoreLock> StoreLock::Wait(const std::string& path) {
  OCTAVO_TRY(const int fd, OpenAndLock(path, LOCK_EX));
  return StoreLock(fd);
}

core::Result<std::optional<StoreLock>> StoreLock::Try(const std::string& path) {
  OCTAVO_TRY(const int fd, OpenAndLock(path, LOCK_EX | LOCK_NB));
  if (fd < 0) return std::optional<StoreLock>();
  return std::optional<StoreLock>(StoreLock(fd));
}

StoreLock::StoreLock(StoreLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

StoreLock::~StoreLock() {
  if (fd_ >= 0) ::close(fd_);
}

}  // namespace octavo::registry
