// Whatever parses must survive a round trip through our own writer; nothing may crash.
#include <cstdint>

#include "core/json.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const octavo::core::Result<octavo::core::Json> json = octavo::core::ParseJson(text);
  if (json.ok()) {
    const auto again = octavo::core::ParseJson(octavo::core::DumpJson(json.value()));
    OCTAVO_CHECK(again.ok() && again.value() == json.value());
  }
  static_cast<void>(octavo::core::ParseToml(text).ok());
  return 0;
}
