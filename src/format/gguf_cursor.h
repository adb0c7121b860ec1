// The bytes of a GGUF file's metadata, read front to back; private to the GGUF reader.
#pragma once

#include <string_view>

#include <fmt/format.h>

#include "core/bytes.h"
#include "core/result.h"
#include "format/gguf.h"

namespace octavo::format {

// Reads front to back and never past the end.
class GgufCursor {
 public:
  explicit GgufCursor(core::ByteSpan bytes) : bytes_(bytes) {}

  size_t at() const { return at_; }
  size_t remaining() const { return bytes_.size() - at_; }

  template <typename T>
  core::Result<T> Read() {
    if (remaining() < sizeof(T)) return Truncated(sizeof(T));
    const T value = core::LoadLittle<T>(bytes_, at_);
    at_ += sizeof(T);
    return value;
  }
  core::Result<std::string_view> ReadString() {
    OCTAVO_TRY(const uint64_t length, Read<uint64_t>());
    if (length > remaining()) return Truncated(length);
    const std::string_view text = core::AsText(bytes_.subspan(at_, length));
    at_ += length;
    return text;
  }
  core::Error Truncated(uint64_t wanted) const {
    return core::Invalid(fmt::format(
        "byte {}: {} more bytes are announced and {} are left; the file is truncated or "
        "damaged, fetch it again",
        at_, wanted, remaining()));
  }

 private:
  core::ByteSpan bytes_;
  size_t at_ = 0;
};

inline constexpr uint64_t kMaxGgufListElements = uint64_t{1} << 23;

// A u64 that is a count or a size and so must fit int64.
core::Result<int64_t> ReadGgufCount(GgufCursor& cursor);
// A metadata value, its type first. `budget`: how many list elements this file may still hold.
core::Result<GgufValue> ReadGgufValue(GgufCursor& cursor, uint64_t& budget);

}  // namespace octavo::format
