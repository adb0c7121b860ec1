// Files: read-only maps and whole reads, and writes that are atomic and durable (temporary beside
// the target, fsync, rename, fsync of the directory).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/bytes.h"
#include "core/posix.h"
#include "core/result.h"

namespace octavo::core {

// A whole regular file mapped read-only. Movable; unmapped at destruction. Safe to read from many
// threads. The file must not be shortened while it is mapped (the kernel answers that with SIGBUS):
// octavo never writes a file in place.
class MappedFile {
 public:
  static Result<MappedFile> Open(const std::string& path);
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  ByteSpan bytes() const { return bytes_; }
  const std::string& path() const { return path_; }
  // Tells the kernel that these pages are not needed any more (MADV_DONTNEED); they come back from
  // disk if read again.
  void DropPages(ByteSpan range) const;
  // Tells the kernel to read these pages now, in the background (MADV_WILLNEED).
  void ReadAhead(ByteSpan range) const;
  // Tells the kernel whether to read what lies around a page together with it, as it does.
  void ReadAround(bool around) const;
  // How much of the file the page cache holds, as far as this user may know; otherwise all of it.
  uint64_t CachedBytes() const;
  // The same file for reads past the page cache, or through it where its file system has no others.
  Result<Fd> OpenDirect() const;

 private:
  MappedFile(std::string path, Fd fd, ByteSpan bytes)
      : path_(std::move(path)), fd_(std::move(fd)), bytes_(bytes) {}
  std::string path_;
  Fd fd_;
  ByteSpan bytes_;
};

// The whole file as text; one larger than `max_bytes` is an Error.
Result<std::string> ReadFile(const std::string& path, uint64_t max_bytes = uint64_t{1} << 30);

// Replaces `path` by `content`, atomically and durably. On any error the old file is untouched and
// no partial is left.
Status WriteFileAtomic(const std::string& path, std::string_view content, unsigned mode = 0644);

// A file written front to back that appears under its name only at Commit. Destroyed without
// Commit, it leaves nothing; what a killed process left behind is removed by the next Create for
// that target.
class AtomicFile {
 public:
  static Result<AtomicFile> Create(const std::string& path, unsigned mode = 0644);
  AtomicFile(AtomicFile&& other) noexcept;
  AtomicFile& operator=(AtomicFile&& other) noexcept;
  ~AtomicFile();

  Status Append(ByteSpan bytes);
  uint64_t size_bytes() const { return size_bytes_; }
  // fsync, rename, fsync of the directory. The object is empty afterwards.
  Status Commit();

 private:
  AtomicFile(std::string path, std::string temporary, int fd);
  void Discard();
  std::string path_;
  std::string temporary_;
  int fd_ = -1;
  uint64_t size_bytes_ = 0;
  uint64_t writing_bytes_ = 0;  // the first ones, which the disk has been told to write
};

// A new folder that appears under its name only at Commit: everything is written below `staging()`
// (a sibling whose name starts with a dot), and one rename publishes it. An existing folder is
// replaced (exchanged, then removed). Destroyed without Commit, it leaves nothing; what a killed
// process left behind is removed by the next Create for that target.
class AtomicDirectory {
 public:
  static Result<AtomicDirectory> Create(const std::string& path);
  AtomicDirectory(AtomicDirectory&& other) noexcept;
  AtomicDirectory& operator=(AtomicDirectory&& other) noexcept;
  ~AtomicDirectory();

  const std::string& staging() const { return staging_; }
  Status Commit();

 private:
  AtomicDirectory(std::string path, std::string staging, int lock);
  void Discard();
  std::string path_;
  std::string staging_;
  int lock_ = -1;  // held while the folder is being written
};

// Path helpers; `path` is UTF-8 as given by the user.
bool FileExists(const std::string& path);  // a regular file (links followed)
bool FolderExists(const std::string& path);
Result<uint64_t> FileSize(const std::string& path);
// What an ordinary user may still write to the disk that holds `folder`.
Result<uint64_t> FreeDiskBytes(const std::string& folder);
// Names (not paths) of the entries of a folder, sorted, without "." and "..".
Result<std::vector<std::string>> ListFolder(const std::string& path);
Status MakeFolders(const std::string& path);  // like mkdir -p
Status RemoveAll(const std::string& path);    // a missing path is success
Status CopyFileAtomic(const std::string& from, const std::string& to);
std::string JoinPath(std::string_view folder, std::string_view name);
std::string BaseName(std::string_view path);
std::string ParentFolder(std::string_view path);
// What a path written inside `file` means: relative ones are meant from the file's folder.
std::string PathBeside(std::string_view file, std::string_view path);

}  // namespace octavo::core
