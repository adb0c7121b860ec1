// A nameless file for what does not fit into memory: gone with the process that made it.
#pragma once

#include <cstdint>
#include <string>

#include "core/bytes.h"
#include "core/posix.h"
#include "core/result.h"

namespace octavo::core {

// Read and written anywhere; holds nothing after a crash, by intent. Only its owner can read it
// (0600 until it has no name). Reads and writes of different ranges are thread-safe.
class SpillFile {
 public:
  // In `folder`, which must be there. A full disk is an error here rather than later: the bytes are
  // reserved.
  static Result<SpillFile> Create(const std::string& folder, uint64_t size_bytes);

  Status Read(uint64_t offset, MutableByteSpan into) const;
  Status Write(uint64_t offset, ByteSpan bytes);
  // Has the system forget its cached copy of what was written; reads come from the disk then.
  void DropCache() const;

 private:
  SpillFile(Fd fd, std::string folder) : fd_(std::move(fd)), folder_(std::move(folder)) {}
  Fd fd_;
  std::string folder_;  // for messages
};

}  // namespace octavo::core
