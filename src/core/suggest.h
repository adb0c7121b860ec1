// "Did you mean ...?": the known name that is nearest to a mistyped one.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace octavo::core {

// "; did you mean 'prompts'?" with the known name nearest to `name` (Levenshtein distance at most
// half its length), or nothing.
std::string DidYouMean(std::string_view name, std::span<const std::string_view> known);

}  // namespace octavo::core
