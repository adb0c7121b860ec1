// Files that appear under their name only when they are whole and on disk.
#include <cerrno>
#include <cstdio>

#include <fcntl.h>
#include <unistd.h>

#include "core/file.h"
#include "core/posix.h"
#include "core/staging.h"

namespace octavo::core {
namespace {

// Of a file that has them, the disk begins to write: else it idles until Commit and that waits.
constexpr uint64_t kWritebackBytes = uint64_t{32} << 20;

}  // namespace

AtomicFile::AtomicFile(std::string path, std::string temporary, int fd)
    : path_(std::move(path)), temporary_(std::move(temporary)), fd_(fd) {}

Result<AtomicFile> AtomicFile::Create(const std::string& path, unsigned mode) {
  OCTAVO_TRY(Staged staged, StageFile(path, mode));
  return AtomicFile(path, std::move(staged.path), staged.lock.Release());
}

AtomicFile::AtomicFile(AtomicFile&& other) noexcept
    : path_(std::move(other.path_)),
      temporary_(std::move(other.temporary_)),
      fd_(std::exchange(other.fd_, -1)),
      size_bytes_(std::exchange(other.size_bytes_, 0)),
      writing_bytes_(std::exchange(other.writing_bytes_, 0)) {}

AtomicFile& AtomicFile::operator=(AtomicFile&& other) noexcept {
  if (this != &other) {
    Discard();
    path_ = std::move(other.path_);
    temporary_ = std::move(other.temporary_);
    fd_ = std::exchange(other.fd_, -1);
    size_bytes_ = std::exchange(other.size_bytes_, 0);
    writing_bytes_ = std::exchange(other.writing_bytes_, 0);
  }
  return *this;
}

AtomicFile::~AtomicFile() {
  Discard();
}

void AtomicFile::Discard() {
  if (fd_ < 0) return;
  ::unlink(temporary_.c_str());
  Fd(std::exchange(fd_, -1)).Close();
}

Status AtomicFile::Append(ByteSpan bytes) {
  OCTAVO_CHECK(fd_ >= 0);
  OCTAVO_RETURN_IF_ERROR(WriteAll(fd_, path_, bytes));
  size_bytes_ += bytes.size();
  if (size_bytes_ - writing_bytes_ >= kWritebackBytes) {
    // Only a hint: Commit waits for the disk and says what went wrong.
    ::sync_file_range(fd_, static_cast<off_t>(writing_bytes_),
                      static_cast<off_t>(size_bytes_ - writing_bytes_), SYNC_FILE_RANGE_WRITE);
    writing_bytes_ = size_bytes_;
  }
  return {};
}

Status AtomicFile::Commit() {
  OCTAVO_CHECK(fd_ >= 0);
  Status status = SyncFd(fd_, path_);
  if (status.ok() && std::rename(temporary_.c_str(), path_.c_str()) != 0) {
    status = ErrnoError(path_, "replace", errno);
  }
  if (!status.ok()) {
    Discard();
    return status;
  }
  Fd(std::exchange(fd_, -1)).Close();
  return SyncPath(ParentFolder(path_));
}

Status WriteFileAtomic(const std::string& path, std::string_view content, unsigned mode) {
  OCTAVO_TRY(AtomicFile file, AtomicFile::Create(path, mode));
  OCTAVO_RETURN_IF_ERROR(file.Append(AsBytes(content)));
  return file.Commit();
}

}  // namespace octavo::core
