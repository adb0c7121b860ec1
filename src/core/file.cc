#include "core/file.h"

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <system_error>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "core/posix.h"

namespace octavo::core {
namespace {

namespace fs = std::filesystem;

constexpr size_t kCopyBytes = size_t{1} << 20;

Error FromCode(const std::string& path, std::string_view action, const std::error_code& code) {
  return ErrnoError(path, action, code.value());
}

}  // namespace

Result<MappedFile> MappedFile::Open(const std::string& path) {
  // O_NONBLOCK: opening a FIFO must give an error below, not wait for a writer.
  OCTAVO_TRY(Fd fd, OpenFd(path, O_RDONLY | O_NONBLOCK));
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) return ErrnoError(path, "inspect", errno);
  if (!S_ISREG(info.st_mode))
    return Invalid(fmt::format("{}: not a regular file", PrintablePath(path)));
  const auto size = static_cast<size_t>(info.st_size);
  if (size == 0) return MappedFile(path, std::move(fd), {});
  void* const address = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd.get(), 0);
  if (address == MAP_FAILED) return ErrnoError(path, "map", errno);
  return MappedFile(path, std::move(fd), {static_cast<const std::byte*>(address), size});
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)),
      fd_(std::move(other.fd_)),
      bytes_(std::exchange(other.bytes_, {})) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(fd_, other.fd_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

void MappedFile::DropPages(ByteSpan range) const {
  const auto page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  const auto base = reinterpret_cast<uintptr_t>(bytes_.data());
  const auto first = reinterpret_cast<uintptr_t>(range.data());
  OCTAVO_CHECK(range.empty() || (first >= base && first + range.size() <= base + bytes_.size()));
  // Pages that the range only touches are kept: their other part may be in use.
  const uintptr_t begin = (first + page - 1) / page * page;
  const uintptr_t end = (first + range.size()) / page * page;
  if (begin < end) ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

void MappedFile::ReadAhead(ByteSpan range) const {
  const auto page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  const auto base = reinterpret_cast<uintptr_t>(bytes_.data());
  const auto first = reinterpret_cast<uintptr_t>(range.data());
  if (range.empty()) return;
  OCTAVO_CHECK(first >= base && first + range.size() <= base + bytes_.size());
  const uintptr_t begin = first / page * page;
  ::madvise(reinterpret_cast<void*>(begin), first + range.size() - begin, MADV_WILLNEED);
}

void MappedFile::ReadAround(bool around) const {
  if (bytes_.empty()) return;
  ::madvise(const_cast<std::byte*>(bytes_.data()), bytes_.size(),
            around ? MADV_NORMAL : MADV_RANDOM);
}

uint64_t MappedFile::CachedBytes() const {
  constexpr size_t kStretch = size_t{1} << 30;
  const auto page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  std::vector<unsigned char> resident(kStretch / page);
  uint64_t pages = 0;
  for (size_t at = 0; at < bytes_.size(); at += kStretch) {
    const size_t size = std::min(kStretch, bytes_.size() - at);
    if (::mincore(const_cast<std::byte*>(bytes_.data() + at), size, resident.data()) != 0)
      return bytes_.size();
    const auto end = resident.begin() + static_cast<std::ptrdiff_t>((size + page - 1) / page);
    pages += static_cast<uint64_t>(
        std::count_if(resident.begin(), end, [](unsigned char in) { return (in & 1U) != 0; }));
  }
  return std::min<uint64_t>(pages * page, bytes_.size());
}

Result<Fd> MappedFile::OpenDirect() const {
  // By its descriptor: under its name there may be another one by now.
  const std::string name = fmt::format("/proc/self/fd/{}", fd_.get());
  Result<Fd> direct = OpenFd(name, O_RDONLY | O_DIRECT);
  if (direct.ok()) return direct;
  const int copy = ::fcntl(fd_.get(), F_DUPFD_CLOEXEC, 0);
  if (copy < 0) return ErrnoError(path_, "open again", errno);
  return Fd(copy);
}

Result<std::string> ReadFile(const std::string& path, uint64_t max_bytes) {
  OCTAVO_TRY(const Fd fd, OpenFd(path, O_RDONLY));
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) return ErrnoError(path, "inspect", errno);
  const auto too_large = [&] {
    return Exhausted(fmt::format("{}: larger than {}, the most that is read of such a file",
                                 PrintablePath(path), HumanBytes(max_bytes)));
  };
  const auto expected = S_ISREG(info.st_mode) ? static_cast<uint64_t>(info.st_size) : 0;
  if (expected > max_bytes) return too_large();
  // One byte more than expected, so that the read that finds the end needs no growth.
  std::string text(expected + 1, '\0');
  size_t used = 0;
  for (;;) {
    if (used == text.size()) text.resize(std::max(kCopyBytes, text.size() * 2));
    OCTAVO_TRY(const size_t count,
               ReadSome(fd, path, std::as_writable_bytes(std::span(text)).subspan(used)));
    if (count == 0) break;
    used += count;
    if (used > max_bytes) return too_large();
  }
  text.resize(used);
  return text;
}

Status CopyFileAtomic(const std::string& from, const std::string& to) {
  OCTAVO_TRY(const Fd fd, OpenFd(from, O_RDONLY));
  OCTAVO_TRY(AtomicFile out, AtomicFile::Create(to));
  std::vector<std::byte> buffer(kCopyBytes);
  for (;;) {
    OCTAVO_TRY(const size_t count, ReadSome(fd, from, buffer));
    if (count == 0) break;
    OCTAVO_RETURN_IF_ERROR(out.Append(ByteSpan(buffer).first(count)));
  }
  return out.Commit();
}

bool FileExists(const std::string& path) {
  std::error_code ignored;
  return fs::is_regular_file(path, ignored);
}

bool FolderExists(const std::string& path) {
  std::error_code ignored;
  return fs::is_directory(path, ignored);
}

Result<uint64_t> FileSize(const std::string& path) {
  std::error_code code;
  const uint64_t size = fs::file_size(path, code);
  if (code) return FromCode(path, "read its size", code);
  return size;
}

Result<uint64_t> FreeDiskBytes(const std::string& folder) {
  struct statvfs disk {};
  if (statvfs(folder.c_str(), &disk) != 0)
    return ErrnoError(folder, "ask for the free space", errno);
  return uint64_t{disk.f_bavail} * disk.f_frsize;
}

Result<std::vector<std::string>> ListFolder(const std::string& path) {
  std::error_code code;
  std::vector<std::string> names;
  fs::directory_iterator entry(path, code);
  for (; !code && entry != fs::directory_iterator(); entry.increment(code)) {
    names.push_back(entry->path().filename().string());
  }
  if (code) return FromCode(path, "list the folder", code);
  std::sort(names.begin(), names.end());
  return names;
}

Status MakeFolders(const std::string& path) {
  std::error_code code;
  fs::create_directories(path, code);
  if (code) return FromCode(path, "create the folder", code);
  return {};
}

Status RemoveAll(const std::string& path) {
  std::error_code code;
  fs::remove_all(path, code);
  if (code) return FromCode(path, "remove", code);
  return {};
}

std::string JoinPath(std::string_view folder, std::string_view name) {
  if (folder.empty()) return std::string(name);
  return fmt::format("{}{}{}", folder, folder.back() == '/' ? "" : "/", name);
}

namespace {

std::string_view WithoutTrailingSlashes(std::string_view path) {
  while (path.size() > 1 && path.back() == '/') path.remove_suffix(1);
  return path;
}

}  // namespace

std::string BaseName(std::string_view path) {
  path = WithoutTrailingSlashes(path);
  return std::string(path.substr(path.rfind('/') + 1));
}

std::string ParentFolder(std::string_view path) {
  path = WithoutTrailingSlashes(path);
  const size_t slash = path.rfind('/');
  if (slash == std::string_view::npos) return ".";
  return std::string(WithoutTrailingSlashes(path.substr(0, std::max<size_t>(slash, 1))));
}

std::string PathBeside(std::string_view file, std::string_view path) {
  return path.starts_with('/') ? std::string(path) : JoinPath(ParentFolder(file), path);
}

}  // namespace octavo::core
