// The program's log: leveled lines on stderr, for people who run it as a service. Commands print
// their results elsewhere.
#pragma once

#include <string_view>

namespace octavo::core {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

// Sets the least level that is printed (default kInfo; OCTAVO_LOG=debug|info|warning|error
// overrides it at start).
void SetLogLevel(LogLevel level);
// Thread-safe; one line each.
void Log(LogLevel level, std::string_view message);
inline void LogInfo(std::string_view message) {
  Log(LogLevel::kInfo, message);
}
inline void LogWarning(std::string_view message) {
  Log(LogLevel::kWarning, message);
}
inline void LogError(std::string_view message) {
  Log(LogLevel::kError, message);
}

}  // namespace octavo::core
