#include "core/direct_reader.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <new>

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "core/check.h"
#include "core/lane.h"
#include "core/posix.h"

namespace octavo::core {
namespace {

// Of offsets, lengths and memory: the largest that disks ask for.
constexpr size_t kAlignment = 4096;

struct FreeMemory {
  void operator()(std::byte* memory) const { std::free(memory); }
};

struct Piece {
  // Grows to `size` bytes wherever they begin in a block of the disk, in whole blocks.
  void Reserve(size_t size) {
    const size_t wanted = (kAlignment - 1 + size + kAlignment - 1) / kAlignment * kAlignment;
    if (wanted <= capacity) return;
    memory.reset();
    capacity = 0;
    memory.reset(static_cast<std::byte*>(std::aligned_alloc(kAlignment, wanted)));
    if (memory == nullptr) throw std::bad_alloc();
    capacity = wanted;
  }

  std::unique_ptr<std::byte, FreeMemory> memory;
  size_t capacity = 0;
  ByteSpan bytes;  // of the file
  Status status;
  std::atomic<bool> done{true};
};

// Whether that is a change.
bool ReadThroughCache(const Fd& fd) {
  const int flags = ::fcntl(fd.get(), F_GETFL);
  return flags >= 0 && (flags & O_DIRECT) != 0 &&
         ::fcntl(fd.get(), F_SETFL, flags & ~O_DIRECT) == 0;
}

// Up to memory.size() bytes from `offset` on; less only at the end of the file.
Result<size_t> ReadAt(const Fd& fd, const std::string& path, uint64_t offset,
                      MutableByteSpan memory) {
  size_t used = 0;
  while (used < memory.size()) {
    const ssize_t got = ::pread(fd.get(), memory.data() + used, memory.size() - used,
                                static_cast<off_t>(offset + used));
    if (got < 0 && errno == EINTR) continue;
    // A file system that wants blocks of another size reads through its cache.
    if (got < 0 && errno == EINVAL && ReadThroughCache(fd)) continue;
    if (got < 0) return ErrnoError(path, "read", errno);
    if (got == 0) break;
    used += static_cast<size_t>(got);
    // Another direct read would not begin at a block: this one has met the end of the file.
    if (static_cast<size_t>(got) % kAlignment != 0) break;
  }
  return used;
}

}  // namespace

struct DirectReader::State {
  // Reads the next piece into `piece`, on the lane. Begins at a block of the disk.
  void Fetch(Piece& piece, uint64_t offset, size_t bytes) {
    const size_t before = offset % kAlignment;
    const size_t whole = (before + bytes + kAlignment - 1) / kAlignment * kAlignment;
    Result<size_t> got = ReadAt(fd, file->path(), offset - before, {piece.memory.get(), whole});
    if (!got.ok()) {
      piece.status = got.error();
    } else if (got.value() < before + bytes) {
      piece.status = Invalid(
          fmt::format("{}: has become shorter while it was read", PrintablePath(file->path())));
    } else {
      piece.bytes = {piece.memory.get() + before, bytes};
    }
  }

  void Request() {
    if (requested == end) return;
    Piece& piece = pieces[next_request++ % kPieces];
    const size_t bytes = std::min(piece_bytes, static_cast<size_t>(end - requested));
    piece.Reserve(bytes);
    piece.status = {};
    piece.done = false;
    const uint64_t offset = requested;
    requested += bytes;
    const Status added = lane.Add([this, &piece, offset, bytes]() -> Status {
      Fetch(piece, offset, bytes);
      piece.done = true;
      piece.done.notify_one();
      return {};
    });
    OCTAVO_CHECK(added.ok());  // errors stay with their pieces
  }

  void Wait() {
    for (Piece& piece : pieces) piece.done.wait(false);
  }

  const MappedFile* file = nullptr;
  Fd fd;
  std::array<Piece, kPieces> pieces;
  size_t piece_bytes = 0;
  uint64_t requested = 0;  // offsets in the file
  uint64_t given = 0;
  uint64_t end = 0;
  size_t next_request = 0;
  size_t next_piece = 0;
  // The last member: its works use the others.
  Lane lane{kPieces};
};

DirectReader::DirectReader() : state_(std::make_unique<State>()) {}
DirectReader::~DirectReader() {
  state_->Wait();
}

Status DirectReader::Begin(const MappedFile& file, ByteSpan part, size_t piece_bytes) {
  OCTAVO_CHECK(piece_bytes > 0);
  State& state = *state_;
  state.Wait();
  if (state.file != &file) {
    OCTAVO_TRY(state.fd, file.OpenDirect());
    state.file = &file;
  }
  state.piece_bytes = piece_bytes;
  state.requested = static_cast<uint64_t>(part.data() - file.bytes().data());
  state.given = state.requested;
  state.end = state.requested + part.size();
  OCTAVO_CHECK(state.end <= file.bytes().size());
  state.next_request = 0;
  state.next_piece = 0;
  for (int i = 0; i < kPieces; ++i) state.Request();
  return {};
}

Result<ByteSpan> DirectReader::Next() {
  State& state = *state_;
  // The caller has done with the piece before.
  if (state.next_piece > 0) state.Request();
  if (state.given == state.end) return ByteSpan();
  Piece& piece = state.pieces[state.next_piece++ % kPieces];
  piece.done.wait(false);
  if (!piece.status.ok()) return piece.status.error();
  state.given += piece.bytes.size();
  return piece.bytes;
}

}  // namespace octavo::core
