// OCTAVO_CHECK: a condition that only a bug in octavo can break. Never used on data from disk,
// network or user.
#pragma once

namespace octavo::core {

// Prints the place and the condition to stderr and aborts.
[[noreturn]] void CheckFailed(const char* file, int line, const char* condition);

}  // namespace octavo::core

#define OCTAVO_CHECK(condition)                                    \
  do {                                                             \
    if (!(condition)) [[unlikely]]                                 \
      ::octavo::core::CheckFailed(__FILE__, __LINE__, #condition); \
  } while (false)
