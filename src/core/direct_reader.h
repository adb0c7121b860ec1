// Reading a part of a file from front to back past the page cache, each piece on its way while the
// one before is used. Source: open(2), O_DIRECT.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "core/bytes.h"
#include "core/file.h"
#include "core/result.h"

namespace octavo::core {

// What is read once and kept in another form needs no copy in the page cache, which costs memory
// and the time to fill it. Where a file system cannot do without, the pieces come through the
// cache. Reads on a thread of its own; for one thread to call. Memory: kPieces pieces, kept from
// one part to the next.
class DirectReader {
 public:
  static constexpr int kPieces = 8;

  DirectReader();
  ~DirectReader();
  DirectReader(const DirectReader&) = delete;
  DirectReader& operator=(const DirectReader&) = delete;

  // Begins with `part` of the map of `file`, which must outlive its reading, in pieces of
  // `piece_bytes`; the last one is what is left. What was begun before is dropped.
  Status Begin(const MappedFile& file, ByteSpan part, size_t piece_bytes);
  // The next piece, valid until the next call; empty behind the last. A file that has become
  // shorter is an Error.
  Result<ByteSpan> Next();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace octavo::core
