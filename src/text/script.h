// Which scripts a text is written in.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace octavo::text {

// Those that most traffic is written in; letters of others count as kOther. Not letters: digits,
// punctuation, symbols, spaces.
enum class Script : uint8_t {
  kLatin,
  kGreek,
  kCyrillic,
  kArmenian,
  kHebrew,
  kArabic,
  kIndic,  // Devanagari to Sinhala
  kThai,   // with Lao
  kGeorgian,
  kHangul,
  kKana,  // Hiragana and Katakana
  kHan,
  kOther,
};
inline constexpr int64_t kScripts = 13;

// "Latin"
std::string_view ScriptName(Script script);

// The letters of each script in UTF-8 `text`, by the blocks of Unicode 15 (Blocks.txt, not
// Scripts.txt: a handful of letters in mixed blocks count for the block). Bytes that are not UTF-8
// are passed over.
using ScriptCounts = std::array<int64_t, kScripts>;
ScriptCounts CountScripts(std::string_view text);

}  // namespace octavo::text
