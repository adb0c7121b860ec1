// How much of a text is program code.
#pragma once

#include <string_view>

namespace octavo::text {

// The share of the lines with something in them that look like program code, in [0, 1]: lines
// between ``` fences, and lines that end, begin or are built as the lines of common languages are.
// A heuristic on single lines, made to be compared between texts: prose has 0 or nearly so, source
// files more than half (comments and blank structure count as prose).
double CodeShare(std::string_view text);

// What a person would call a text with code in it: a fence, or three lines of code or more.
bool ContainsCode(std::string_view text);

}  // namespace octavo::text
