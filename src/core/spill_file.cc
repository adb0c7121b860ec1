#include "core/spill_file.h"

#include <cerrno>
#include <cstdlib>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace octavo::core {

Result<SpillFile> SpillFile::Create(const std::string& folder, uint64_t size_bytes) {
  std::string name = folder + "/.octavo-spill-XXXXXX";
  const int raw = mkostemp(name.data(), O_CLOEXEC);
  if (raw < 0) return ErrnoError(folder, "make a temporary file", errno);
  Fd fd(raw);
  unlink(name.c_str());
  if (size_bytes > 0) {
    const int error = posix_fallocate(fd.get(), 0, static_cast<off_t>(size_bytes));
    if (error != 0) {
      return ErrnoError(folder, "reserve " + HumanBytes(size_bytes) + " for a temporary file",
                        error);
    }
  }
  return SpillFile(std::move(fd), folder);
}

Status SpillFile::Read(uint64_t offset, MutableByteSpan into) const {
  while (!into.empty()) {
    const ssize_t got = pread(fd_.get(), into.data(), into.size(), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return ErrnoError(folder_, "read a temporary file", got == 0 ? EIO : errno);
    into = into.subspan(static_cast<size_t>(got));
    offset += static_cast<uint64_t>(got);
  }
  return {};
}

Status SpillFile::Write(uint64_t offset, ByteSpan bytes) {
  while (!bytes.empty()) {
    const ssize_t put = pwrite(fd_.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return ErrnoError(folder_, "write a temporary file", errno);
    bytes = bytes.subspan(static_cast<size_t>(put));
    offset += static_cast<uint64_t>(put);
  }
  return {};
}

void SpillFile::DropCache() const {
  posix_fadvise(fd_.get(), 0, 0, POSIX_FADV_DONTNEED);
}

}  // namespace octavo::core
