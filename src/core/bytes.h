// Bytes from files and sizes computed from them: checked arithmetic, little-endian reads, sizes for
// people.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <type_traits>

namespace octavo::core {

static_assert(std::endian::native == std::endian::little,
              "octavo's file formats are read in place, little-endian");

using ByteSpan = std::span<const std::byte>;
using MutableByteSpan = std::span<std::byte>;

// a + b and a * b of non-negative counts or byte sizes; nothing when the result does not fit.
template <typename T>
std::optional<T> CheckedAdd(T a, T b) {
  T out;
  if (__builtin_add_overflow(a, b, &out)) return std::nullopt;
  return out;
}
template <typename T>
std::optional<T> CheckedMul(T a, T b) {
  T out;
  if (__builtin_mul_overflow(a, b, &out)) return std::nullopt;
  return out;
}

// The little-endian value at `offset`; the caller has checked that it lies inside. Needs no
// alignment.
template <typename T>
T LoadLittle(ByteSpan bytes, size_t offset) {
  static_assert(std::is_trivially_copyable_v<T>);
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof(T));
  return value;
}

template <typename T>
ByteSpan AsBytes(std::span<const T> values) {
  return std::as_bytes(values);
}

inline ByteSpan AsBytes(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

inline std::string_view AsText(ByteSpan bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// "256.6 MB": decimal units, four significant digits, as disks and clouds are sold.
std::string HumanBytes(uint64_t bytes);

// Text from a file, cut and escaped so that it is safe inside a one-line error message: control
// bytes and invalid UTF-8 become \xNN, anything past `limit` bytes becomes "...".
std::string Printable(std::string_view text, size_t limit = 80);
// The same of a path, which is cut at the longest that Linux has.
std::string PrintablePath(std::string_view path);

// True if `text` is well-formed UTF-8 (no surrogates, no overlong forms, at most U+10FFFF).
bool IsUtf8(std::string_view text);

}  // namespace octavo::core
