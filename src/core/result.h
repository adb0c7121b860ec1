// Result<T> and Status: how everything that the outside world can make fail reports it. A bug is
// OCTAVO_CHECK.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "core/check.h"

namespace octavo::core {

// What a caller may want to tell apart. The exit code of the program follows from it (kUsage: 2,
// the rest: 1).
enum class ErrorCode {
  kInvalid,      // a file, field or option holds something that cannot be right
  kUsage,        // the command line asks for something that does not exist
  kNotFound,     // a file, tensor, channel or layer is missing
  kUnsupported,  // well formed, but octavo does not do it; the message names what
  kIo,           // the disk or the network refused
  kExhausted,    // memory, disk or a limit would be exceeded
  kInterrupted,  // the user pressed Ctrl-C, or the request was cancelled
};

// One line for a person: what was got, what was expected, where, and what to do. `Context` puts the
// place in front, as an error travels up: "model.safetensors: tensor 'lm_head.weight': ...".
class [[nodiscard]] Error {
 public:
  Error(ErrorCode code, std::string message) : code_(code), message_(std::move(message)) {}

  ErrorCode code() const { return code_; }
  const std::string& message() const { return message_; }
  Error Context(std::string_view place) && {
    message_ = std::string(place) + ": " + message_;
    return std::move(*this);
  }

 private:
  ErrorCode code_;
  std::string message_;
};

// Either a T or an Error. Reading the one that is not there is a bug (OCTAVO_CHECK).
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::move(value)) {}      // NOLINT(google-explicit-constructor)
  Result(Error error) : error_(std::move(error)) {}  // NOLINT(google-explicit-constructor)

  bool ok() const { return value_.has_value(); }
  const T& value() const& {
    OCTAVO_CHECK(ok());
    return *value_;
  }
  T& value() & {
    OCTAVO_CHECK(ok());
    return *value_;
  }
  T&& value() && {
    OCTAVO_CHECK(ok());
    return std::move(*value_);
  }
  const Error& error() const& {
    OCTAVO_CHECK(!ok());
    return *error_;
  }
  Error&& error() && {
    OCTAVO_CHECK(!ok());
    return std::move(*error_);
  }
  Result Context(std::string_view place) && {
    if (ok()) return std::move(*this);
    return std::move(*error_).Context(place);
  }

 private:
  std::optional<T> value_;
  std::optional<Error> error_;
};

// Success, or an Error.
class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(Error error) : error_(std::move(error)) {}  // NOLINT(google-explicit-constructor)

  bool ok() const { return !error_.has_value(); }
  const Error& error() const& {
    OCTAVO_CHECK(!ok());
    return *error_;
  }
  Error&& error() && {
    OCTAVO_CHECK(!ok());
    return std::move(*error_);
  }
  Status Context(std::string_view place) && {
    if (ok()) return {};
    return std::move(*error_).Context(place);
  }

 private:
  std::optional<Error> error_;
};

inline Error Invalid(std::string message) {
  return {ErrorCode::kInvalid, std::move(message)};
}
inline Error Usage(std::string message) {
  return {ErrorCode::kUsage, std::move(message)};
}
inline Error NotFound(std::string message) {
  return {ErrorCode::kNotFound, std::move(message)};
}
inline Error Unsupported(std::string message) {
  return {ErrorCode::kUnsupported, std::move(message)};
}
inline Error IoError(std::string message) {
  return {ErrorCode::kIo, std::move(message)};
}
inline Error Exhausted(std::string message) {
  return {ErrorCode::kExhausted, std::move(message)};
}

}  // namespace octavo::core

#define OCTAVO_CONCAT_INNER(a, b) a##b
#define OCTAVO_CONCAT(a, b) OCTAVO_CONCAT_INNER(a, b)

// OCTAVO_TRY(auto x, F()); is `auto x = F()`, returning F's error from the enclosing function if it
// failed.
#define OCTAVO_TRY(declaration, expression) \
  OCTAVO_TRY_INNER(declaration, expression, OCTAVO_CONCAT(octavo_result_, __LINE__))
// NOLINTBEGIN(bugprone-macro-parentheses): a declaration and a name take none.
#define OCTAVO_TRY_INNER(declaration, expression, name) \
  auto name = (expression);                             \
  if (!name.ok()) return std::move(name).error();       \
  declaration = std::move(name).value()
// NOLINTEND(bugprone-macro-parentheses)

// OCTAVO_RETURN_IF_ERROR(F()); returns F's error from the enclosing function if it failed.
#define OCTAVO_RETURN_IF_ERROR(expression)                            \
  do {                                                                \
    auto octavo_status = (expression);                                \
    if (!octavo_status.ok()) return std::move(octavo_status).error(); \
  } while (false)
