// JSON (and TOML read into it): the only door through which such text enters. Depth and size are
// limited, duplicate keys refused, fields read by typed getters whose errors name the field.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "core/result.h"

namespace octavo::core {

// Keeps the order of insertion: the documents we write read in the order in which they were
// thought.
using Json = nlohmann::ordered_json;

struct JsonLimits {
  size_t max_bytes = size_t{1} << 30;
  int max_depth = 64;
};

// Parses one document. Errors say the byte offset; duplicate keys, invalid UTF-8, NaN and trailing
// text are refused. An integer that fits neither int64 nor uint64 is refused too, rather than
// rounded.
Result<Json> ParseJson(std::string_view text, const JsonLimits& limits = {});

// Parses TOML 1.0 into the same value type (dates become strings). Errors say line and column.
Result<Json> ParseToml(std::string_view text);

// Reads and parses a whole file; errors start with its path.
Result<Json> ReadJsonFile(const std::string& path, const JsonLimits& limits = {});
Result<Json> ReadTomlFile(const std::string& path);

// Two-space indentation and a final newline; the same value gives the same bytes. Invalid UTF-8
// becomes U+FFFD.
std::string DumpJson(const Json& value);
// One line, no spaces: for JSONL, SSE and digests.
std::string DumpJsonLine(const Json& value);

// Typed fields of an object. `object` that is no object, a missing field or a wrong type is an
// Error that names `key` and both types. The Optional forms give nothing when the field is absent
// or null.
Result<std::string> GetString(const Json& object, std::string_view key);
Result<int64_t> GetInt(const Json& object, std::string_view key);
Result<double> GetDouble(const Json& object, std::string_view key);
Result<bool> GetBool(const Json& object, std::string_view key);
Result<std::optional<std::string>> GetOptionalString(const Json& object, std::string_view key);
Result<std::optional<int64_t>> GetOptionalInt(const Json& object, std::string_view key);
Result<std::optional<double>> GetOptionalDouble(const Json& object, std::string_view key);
Result<std::optional<bool>> GetOptionalBool(const Json& object, std::string_view key);
Result<std::vector<std::string>> GetStrings(const Json& object, std::string_view key);

// The member of an object, or nullptr when `object` is no object, has none of that name, or it is
// null.
const Json* Find(const Json& object, std::string_view key);

// Refuses keys that are not in `known`, naming the first one and the nearest known one ("did you
// mean ...?").
Status RefuseUnknownKeys(const Json& object, std::initializer_list<std::string_view> known);

}  // namespace octavo::core
