#include "core/log.h"

#include <cstdlib>
#include <memory>

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include "core/bytes.h"

namespace octavo::core {
namespace {

constexpr size_t kMaxMessageBytes = 16 << 10;

spdlog::level::level_enum Translate(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarning:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
  }
  return spdlog::level::info;
}

spdlog::level::level_enum InitialLevel() {
  const char* const text = std::getenv("OCTAVO_LOG");
  const std::string_view name = text == nullptr ? "" : text;
  if (name == "debug") return spdlog::level::debug;
  if (name == "warning") return spdlog::level::warn;
  if (name == "error") return spdlog::level::err;
  return spdlog::level::info;
}

spdlog::logger& Logger() {
  static spdlog::logger logger = [] {
    spdlog::logger made("octavo", std::make_shared<spdlog::sinks::stderr_color_sink_mt>());
    made.set_pattern("%Y-%m-%dT%H:%M:%S.%eZ %^%l%$ %v", spdlog::pattern_time_type::utc);
    made.set_level(InitialLevel());
    return made;
  }();
  return logger;
}

}  // namespace

void SetLogLevel(LogLevel level) {
  Logger().set_level(Translate(level));
}

void Log(LogLevel level, std::string_view message) {
  if (!Logger().should_log(Translate(level))) return;
  // Escaped, so that text from a request can neither start a new line nor drive the terminal.
  Logger().log(Translate(level), Printable(message, kMaxMessageBytes));
}

}  // namespace octavo::core
