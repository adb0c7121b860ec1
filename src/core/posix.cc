#include "core/posix.h"

#include <algorithm>
#include <cerrno>
#include <system_error>

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

namespace octavo::core {
namespace {

struct Advice {
  int error_number;
  ErrorCode code;
  std::string_view remedy;
};

constexpr Advice kAdvice[] = {
    {ENOENT, ErrorCode::kNotFound, "check the path"},
    {ENOTDIR, ErrorCode::kNotFound, "check the path"},
    {ENOSPC, ErrorCode::kExhausted, "free some space or choose a folder on another disk"},
    {EDQUOT, ErrorCode::kExhausted, "free some of your quota or choose a folder on another disk"},
    {EFBIG, ErrorCode::kExhausted,
     "raise the file size limit (ulimit -f) or choose a file system that allows larger files"},
    {EMFILE, ErrorCode::kExhausted, "raise the limit of open files (ulimit -n)"},
    {ENOMEM, ErrorCode::kExhausted, "free some memory or raise the limit (ulimit -v)"},
    {EACCES, ErrorCode::kIo, "check the permissions"},
    {EPERM, ErrorCode::kIo, "check the permissions"},
    {EROFS, ErrorCode::kIo, "choose a folder on a file system that can be written"},
};

}  // namespace

Error ErrnoError(const std::string& path, std::string_view action, int error_number) {
  ErrorCode code = ErrorCode::kIo;
  std::string message = fmt::format("{}: cannot {}: {}", PrintablePath(path), action,
                                    std::generic_category().message(error_number));
  for (const Advice& advice : kAdvice) {
    if (advice.error_number != error_number) continue;
    code = advice.code;
    message += "; ";
    message += advice.remedy;
  }
  return {code, std::move(message)};
}

Fd& Fd::operator=(Fd&& other) noexcept {
  if (this != &other) {
    Close();
    fd_ = std::exchange(other.fd_, -1);
  }
  return *this;
}

void Fd::Close() {
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

Result<Fd> OpenFd(const std::string& path, int flags, unsigned mode) {
  // A NUL would silently cut the name.
  if (path.find('\0') != std::string::npos) {
    return Invalid(fmt::format("{}: a path cannot hold a NUL byte", Printable(path)));
  }
  int fd = -1;
  do {
    fd = ::open(path.c_str(), flags | O_CLOEXEC, static_cast<mode_t>(mode));
  } while (fd < 0 && errno == EINTR);
  if (fd < 0) return ErrnoError(path, (flags & O_CREAT) != 0 ? "create" : "open", errno);
  return Fd(fd);
}

Result<size_t> ReadSome(const Fd& fd, const std::string& path, MutableByteSpan buffer) {
  for (;;) {
    const ssize_t count = ::read(fd.get(), buffer.data(), buffer.size());
    if (count >= 0) return static_cast<size_t>(count);
    if (errno != EINTR) return ErrnoError(path, "read", errno);
  }
}

Status WriteAll(int fd, const std::string& path, ByteSpan bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::write(fd, bytes.data(), bytes.size());
    if (count < 0) {
      if (errno == EINTR) continue;
      return ErrnoError(path, "write", errno);
    }
    bytes = bytes.subspan(static_cast<size_t>(count));
  }
  return {};
}

Status SyncFd(int fd, const std::string& path) {
  while (::fsync(fd) != 0) {
    if (errno == EINVAL) return {};
    if (errno != EINTR) return ErrnoError(path, "write", errno);
  }
  return {};
}

Status SyncPath(const std::string& path) {
  OCTAVO_TRY(const Fd fd, OpenFd(path, O_RDONLY | O_NONBLOCK));
  return SyncFd(fd.get(), path);
}

}  // namespace octavo::core
