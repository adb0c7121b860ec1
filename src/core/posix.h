// System calls with retries and with errors a person can act on; private to core's file code.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "core/bytes.h"
#include "core/result.h"

namespace octavo::core {

// An owned file descriptor, -1 when empty.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept;
  ~Fd() { Close(); }

  int get() const { return fd_; }
  // Gives up ownership.
  int Release() { return std::exchange(fd_, -1); }
  void Close();

 private:
  int fd_ = -1;
};

// "PATH: cannot ACTION: REASON; REMEDY", with the code that fits `error_number`.
Error ErrnoError(const std::string& path, std::string_view action, int error_number);

// open(2) with O_CLOEXEC, retried on EINTR.
Result<Fd> OpenFd(const std::string& path, int flags, unsigned mode = 0);
// Up to `buffer.size()` bytes, 0 at the end of the file.
Result<size_t> ReadSome(const Fd& fd, const std::string& path, MutableByteSpan buffer);
// All of `bytes`, through short writes.
Status WriteAll(int fd, const std::string& path, ByteSpan bytes);
// fsync(2); file systems that cannot sync a folder are taken to need none.
Status SyncFd(int fd, const std::string& path);
// Opens and syncs a file or folder.
Status SyncPath(const std::string& path);

}  // namespace octavo::core
