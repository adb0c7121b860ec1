// The values of GGUF metadata: one number, text, or a flat list.
#include <limits>
#include <type_traits>

#include "format/gguf_cursor.h"

namespace octavo::format {
namespace {

// Ids of metadata types, in the order of the format's own enumeration.
enum class ValueType : uint32_t {
  kU8,
  kI8,
  kU16,
  kI16,
  kU32,
  kI32,
  kF32,
  kBool,
  kString,
  kArray,
  kU64,
  kI64,
  kF64
};
constexpr uint64_t kLeastBytes[] = {1, 1, 2, 2, 4, 4, 4, 1, 8, 12, 8, 8, 8};

template <typename T>
core::Result<int64_t> ReadAsInt(GgufCursor& cursor) {
  OCTAVO_TRY(const T value, cursor.Read<T>());
  if constexpr (std::is_same_v<T, uint64_t>) {
    if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
      return core::Invalid(fmt::format("value {} is more than 2^63-1", value));
    }
  }
  return static_cast<int64_t>(value);
}

bool IsInt(ValueType type) {
  return type <= ValueType::kI32 || type == ValueType::kU64 || type == ValueType::kI64;
}

core::Result<int64_t> ReadInt(GgufCursor& cursor, ValueType type) {
  switch (type) {
    case ValueType::kU8:
      return ReadAsInt<uint8_t>(cursor);
    case ValueType::kI8:
      return ReadAsInt<int8_t>(cursor);
    case ValueType::kU16:
      return ReadAsInt<uint16_t>(cursor);
    case ValueType::kI16:
      return ReadAsInt<int16_t>(cursor);
    case ValueType::kU32:
      return ReadAsInt<uint32_t>(cursor);
    case ValueType::kI32:
      return ReadAsInt<int32_t>(cursor);
    case ValueType::kU64:
      return ReadAsInt<uint64_t>(cursor);
    default:
      return ReadAsInt<int64_t>(cursor);
  }
}

core::Result<double> ReadFloat(GgufCursor& cursor, ValueType type) {
  if (type == ValueType::kF64) return cursor.Read<double>();
  OCTAVO_TRY(const float value, cursor.Read<float>());
  return static_cast<double>(value);
}

core::Result<bool> ReadBool(GgufCursor& cursor) {
  OCTAVO_TRY(const uint8_t value, cursor.Read<uint8_t>());
  if (value > 1) return core::Invalid(fmt::format("boolean {}, expected 0 or 1", value));
  return value == 1;
}

core::Result<std::string> ReadText(GgufCursor& cursor) {
  OCTAVO_TRY(const std::string_view text, cursor.ReadString());
  return std::string(text);
}

core::Result<ValueType> ReadType(GgufCursor& cursor) {
  OCTAVO_TRY(const uint32_t id, cursor.Read<uint32_t>());
  if (id > static_cast<uint32_t>(ValueType::kF64)) {
    return core::Invalid(fmt::format("value type {}, expected 0 to 12", id));
  }
  return static_cast<ValueType>(id);
}

template <typename T, typename Reader>
core::Result<GgufValue> ReadList(uint64_t count, const Reader& read) {
  std::vector<T> list;
  list.reserve(count);
  for (uint64_t i = 0; i < count; ++i) {
    OCTAVO_TRY(T value, read());
    list.push_back(std::move(value));
  }
  return GgufValue(GgufArray(std::move(list)));
}

// `budget`: how many list elements this file may still hold.
core::Result<GgufValue> ReadArray(GgufCursor& cursor, uint64_t& budget) {
  OCTAVO_TRY(const ValueType type, ReadType(cursor));
  OCTAVO_TRY(const uint64_t count, cursor.Read<uint64_t>());
  if (type == ValueType::kArray) return core::Unsupported("a list of lists");
  if (count > cursor.remaining() / kLeastBytes[static_cast<size_t>(type)]) {
    return cursor.Truncated(count);
  }
  if (count > budget) {
    return core::Exhausted(
        fmt::format("more than {} list elements in the metadata", kMaxGgufListElements));
  }
  budget -= count;
  if (IsInt(type)) return ReadList<int64_t>(count, [&] { return ReadInt(cursor, type); });
  if (type == ValueType::kBool) return ReadList<bool>(count, [&] { return ReadBool(cursor); });
  if (type == ValueType::kString) {
    return ReadList<std::string>(count, [&] { return ReadText(cursor); });
  }
  return ReadList<double>(count, [&] { return ReadFloat(cursor, type); });
}

template <typename T>
core::Result<GgufValue> Wrap(core::Result<T> result) {
  OCTAVO_TRY(T value, std::move(result));
  return GgufValue(std::move(value));
}

}  // namespace

core::Result<int64_t> ReadGgufCount(GgufCursor& cursor) {
  return ReadAsInt<uint64_t>(cursor);
}

core::Result<GgufValue> ReadGgufValue(GgufCursor& cursor, uint64_t& budget) {
  OCTAVO_TRY(const ValueType type, ReadType(cursor));
  if (type == ValueType::kArray) return ReadArray(cursor, budget);
  if (type == ValueType::kString) return Wrap(ReadText(cursor));
  if (type == ValueType::kBool) return Wrap(ReadBool(cursor));
  if (IsInt(type)) return Wrap(ReadInt(cursor, type));
  return Wrap(ReadFloat(cursor, type));
}

}  // namespace octavo::format
