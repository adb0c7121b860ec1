#include "core/staging.h"

#include <atomic>
#include <cerrno>
#include <chrono>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/file.h"

namespace octavo::core {
namespace {

// KeptBeside has a dot where this has a dash.
std::string StagingPrefix(const std::string& target) {
  return "." + BaseName(target) + ".octavo-";
}

// True if no process holds the file or folder. Opening without writing and without following links
// harms nothing.
bool Abandoned(const std::string& path) {
  Result<Fd> fd = OpenFd(path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW);
  return fd.ok() && ::flock(fd.value().get(), LOCK_EX | LOCK_NB) == 0;
}

// Best effort: what cannot be listed or removed is left alone, it only takes space.
void RemoveAbandoned(const std::string& target) {
  const std::string folder = ParentFolder(target);
  const Result<std::vector<std::string>> names = ListFolder(folder);
  if (!names.ok()) return;
  const std::string prefix = StagingPrefix(target);
  for (const std::string& name : names.value()) {
    if (name.compare(0, prefix.size(), prefix) != 0) continue;
    const std::string path = JoinPath(folder, name);
    if (Abandoned(path)) static_cast<void>(RemoveAll(path).ok());
  }
}

// Locks what was just created. False if another process took it for abandoned before the lock was
// there.
bool LockNew(const Staged& staged) {
  struct stat opened {};
  struct stat named {};
  return ::flock(staged.lock.get(), LOCK_EX | LOCK_NB) == 0 &&
         ::fstat(staged.lock.get(), &opened) == 0 && ::lstat(staged.path.c_str(), &named) == 0 &&
         opened.st_ino == named.st_ino;
}

template <typename Make>
Result<Staged> Stage(const std::string& target, const Make& make) {
  const std::string name = BaseName(target);
  if (name.empty() || name == "." || name == ".." || name == "/") {
    return Invalid(fmt::format("'{}' cannot be written: give the name of a new file or folder",
                               PrintablePath(target)));
  }
  RemoveAbandoned(target);
  static std::atomic<unsigned> counter{0};
  for (int attempt = 0; attempt < 10; ++attempt) {
    // The time tells apart processes of equal number in different containers.
    const auto now = std::chrono::system_clock::now().time_since_epoch().count();
    Staged staged;
    staged.path = JoinPath(ParentFolder(target), fmt::format("{}{:x}-{}-{}", StagingPrefix(target),
                                                             now, ::getpid(), counter++));
    OCTAVO_TRY(staged.lock, make(staged.path));
    if (LockNew(staged)) return staged;
  }
  return IoError(fmt::format("{}: cannot lock a temporary beside it; choose a local folder",
                             PrintablePath(target)));
}

}  // namespace

Result<Staged> StageFile(const std::string& target, unsigned mode) {
  if (FolderExists(target)) {
    return Invalid(
        fmt::format("{}: is a folder, expected the name of a file", PrintablePath(target)));
  }
  return Stage(target, [&](const std::string& path) {
    return OpenFd(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode);
  });
}

Result<Staged> StageFolder(const std::string& target) {
  return Stage(target, [&](const std::string& path) -> Result<Fd> {
    if (::mkdir(path.c_str(), 0755) != 0) return ErrnoError(path, "create the folder", errno);
    return OpenFd(path, O_RDONLY | O_DIRECTORY);
  });
}

std::string KeptBeside(const std::string& target, std::string_view what) {
  std::string name = target;
  while (name.size() > 1 && name.back() == '/') name.pop_back();
  return JoinPath(ParentFolder(name), fmt::format(".{}.octavo.{}", BaseName(name), what));
}

}  // namespace octavo::core
