// Typed fields of JSON objects, with errors that name the field.
#include <algorithm>
#include <limits>

#include <fmt/format.h>

#include "core/bytes.h"
#include "core/json.h"
#include "core/suggest.h"

namespace octavo::core {
namespace {

// What a person calls the type of `value`.
std::string_view TypeName(const Json& value) {
  switch (value.type()) {
    case Json::value_t::null:
      return "null";
    case Json::value_t::boolean:
      return "true or false";
    case Json::value_t::number_integer:
    case Json::value_t::number_unsigned:
      return "an integer";
    case Json::value_t::number_float:
      return "a number with a fraction";
    case Json::value_t::string:
      return "a string";
    case Json::value_t::array:
      return "a list";
    case Json::value_t::object:
      return "an object";
    default:
      return "something else";
  }
}

Error WrongType(std::string_view key, const Json& value, std::string_view expected) {
  return Invalid(
      fmt::format("field '{}' is {}, expected {}", Printable(key), TypeName(value), expected));
}

// One conversion for each type that can be asked for: what it is called, and the value if it is
// one.
template <typename T>
struct Field;

template <>
struct Field<std::string> {
  static constexpr std::string_view kName = "a string";
  static std::optional<std::string> From(const Json& value) {
    if (!value.is_string()) return std::nullopt;
    return value.get<std::string>();
  }
};

template <>
struct Field<int64_t> {
  static constexpr std::string_view kName = "an integer that fits in 64 bits";
  static std::optional<int64_t> From(const Json& value) {
    if (!value.is_number_integer()) return std::nullopt;
    constexpr auto kMax = static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
    if (value.is_number_unsigned() && value.get<uint64_t>() > kMax) return std::nullopt;
    return value.get<int64_t>();
  }
};

template <>
struct Field<double> {
  static constexpr std::string_view kName = "a number";
  static std::optional<double> From(const Json& value) {
    if (!value.is_number()) return std::nullopt;
    return value.get<double>();
  }
};

template <>
struct Field<bool> {
  static constexpr std::string_view kName = "true or false";
  static std::optional<bool> From(const Json& value) {
    if (!value.is_boolean()) return std::nullopt;
    return value.get<bool>();
  }
};

template <>
struct Field<std::vector<std::string>> {
  static constexpr std::string_view kName = "a list of strings";
  static std::optional<std::vector<std::string>> From(const Json& value) {
    if (!value.is_array()) return std::nullopt;
    std::vector<std::string> out;
    for (const Json& item : value) {
      if (!item.is_string()) return std::nullopt;
      out.push_back(item.get<std::string>());
    }
    return out;
  }
};

template <typename T>
Result<std::optional<T>> GetOptional(const Json& object, std::string_view key) {
  if (!object.is_object()) {
    return Invalid(fmt::format("{} where an object with the field '{}' is expected",
                               TypeName(object), Printable(key)));
  }
  const Json* const value = Find(object, key);
  if (value == nullptr) return std::optional<T>();
  std::optional<T> converted = Field<T>::From(*value);
  if (!converted) return WrongType(key, *value, Field<T>::kName);
  return converted;
}

template <typename T>
Result<T> Get(const Json& object, std::string_view key) {
  OCTAVO_TRY(std::optional<T> value, GetOptional<T>(object, key));
  if (!value) {
    return Invalid(
        fmt::format("field '{}' is missing, expected {}", Printable(key), Field<T>::kName));
  }
  return *std::move(value);
}

}  // namespace

Result<std::string> GetString(const Json& object, std::string_view key) {
  return Get<std::string>(object, key);
}
Result<int64_t> GetInt(const Json& object, std::string_view key) {
  return Get<int64_t>(object, key);
}
Result<double> GetDouble(const Json& object, std::string_view key) {
  return Get<double>(object, key);
}
Result<bool> GetBool(const Json& object, std::string_view key) {
  return Get<bool>(object, key);
}
Result<std::optional<std::string>> GetOptionalString(const Json& object, std::string_view key) {
  return GetOptional<std::string>(object, key);
}
Result<std::optional<int64_t>> GetOptionalInt(const Json& object, std::string_view key) {
  return GetOptional<int64_t>(object, key);
}
Result<std::optional<double>> GetOptionalDouble(const Json& object, std::string_view key) {
  return GetOptional<double>(object, key);
}
Result<std::optional<bool>> GetOptionalBool(const Json& object, std::string_view key) {
  return GetOptional<bool>(object, key);
}
Result<std::vector<std::string>> GetStrings(const Json& object, std::string_view key) {
  return Get<std::vector<std::string>>(object, key);
}

const Json* Find(const Json& object, std::string_view key) {
  if (!object.is_object()) return nullptr;
  for (const auto& member : object.get_ref<const Json::object_t&>()) {
    if (member.first == key) return member.second.is_null() ? nullptr : &member.second;
  }
  return nullptr;
}

Status RefuseUnknownKeys(const Json& object, std::initializer_list<std::string_view> known) {
  if (!object.is_object()) {
    return Invalid(fmt::format("{} where an object is expected", TypeName(object)));
  }
  for (const auto& member : object.get_ref<const Json::object_t&>()) {
    const std::string_view key = member.first;
    if (std::find(known.begin(), known.end(), key) != known.end()) continue;
    const std::string hint = DidYouMean(key, {known.begin(), known.size()});
    return Invalid(fmt::format("unknown field '{}'{}", Printable(key), hint));
  }
  return {};
}

}  // namespace octavo::core
