// Folders that appear under their name only when all that is in them is whole and on disk.
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <system_error>

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "core/file.h"
#include "core/staging.h"

namespace octavo::core {
namespace {

// Syncs every file and folder below `root`, and `root` itself.
Status SyncTree(const std::string& root) {
  std::error_code code;
  std::filesystem::recursive_directory_iterator entry(root, code);
  for (; !code && entry != std::filesystem::recursive_directory_iterator(); entry.increment(code)) {
    if (!entry->is_symlink()) OCTAVO_RETURN_IF_ERROR(SyncPath(entry->path().string()));
  }
  if (code) return ErrnoError(root, "list the folder", code.value());
  return SyncPath(root);
}

// Gives `staging` the name `path`. Afterwards `staging` is gone or names the folder that was
// replaced.
Status Publish(const std::string& staging, const std::string& path) {
  // rename(2) does it when there is no target, or an empty folder.
  if (std::rename(staging.c_str(), path.c_str()) == 0) return {};
  if (errno != ENOTEMPTY && errno != EEXIST) return ErrnoError(path, "replace", errno);
  if (::renameat2(AT_FDCWD, staging.c_str(), AT_FDCWD, path.c_str(), RENAME_EXCHANGE) == 0)
    return {};
  if (errno == EINVAL || errno == ENOSYS) {
    return Unsupported(fmt::format(
        "{}: this file system cannot exchange two folders; remove the old one and run again",
        PrintablePath(path)));
  }
  return ErrnoError(path, "replace", errno);
}

}  // namespace

AtomicDirectory::AtomicDirectory(std::string path, std::string staging, int lock)
    : path_(std::move(path)), staging_(std::move(staging)), lock_(lock) {}

Result<AtomicDirectory> AtomicDirectory::Create(const std::string& path) {
  // Without the trailing slashes that rename(2) would take for a folder.
  std::string target = JoinPath(ParentFolder(path), BaseName(path));
  if (FileExists(target)) {
    return Invalid(
        fmt::format("{}: is a file, expected the name of a folder", PrintablePath(path)));
  }
  OCTAVO_TRY(Staged staged, StageFolder(target));
  return AtomicDirectory(std::move(target), std::move(staged.path), staged.lock.Release());
}

AtomicDirectory::AtomicDirectory(AtomicDirectory&& other) noexcept
    : path_(std::move(other.path_)),
      staging_(std::move(other.staging_)),
      lock_(std::exchange(other.lock_, -1)) {}

AtomicDirectory& AtomicDirectory::operator=(AtomicDirectory&& other) noexcept {
  if (this != &other) {
    Discard();
    path_ = std::move(other.path_);
    staging_ = std::move(other.staging_);
    lock_ = std::exchange(other.lock_, -1);
  }
  return *this;
}

AtomicDirectory::~AtomicDirectory() {
  Discard();
}

void AtomicDirectory::Discard() {
  if (lock_ < 0) return;
  // What cannot be removed now is removed by the next Create.
  static_cast<void>(RemoveAll(staging_).ok());
  Fd(std::exchange(lock_, -1)).Close();
}

Status AtomicDirectory::Commit() {
  OCTAVO_CHECK(lock_ >= 0);
  Status status = SyncTree(staging_);
  if (status.ok()) status = Publish(staging_, path_);
  if (status.ok()) status = SyncPath(ParentFolder(path_));
  Discard();
  return status;
}

}  // namespace octavo::core
