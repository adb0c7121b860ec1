// The version of octavo, from the file VERSION and the build.
#pragma once

#include <string_view>

namespace octavo::core {
inline constexpr std::string_view kVersion = OCTAVO_VERSION;
}  // namespace octavo::core
