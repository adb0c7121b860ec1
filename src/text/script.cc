#include "text/script.h"

#include <algorithm>
#include <iterator>

namespace octavo::text {
namespace {

struct Range {
  uint32_t first;
  uint32_t last;
  Script script;
};

// Ascending. Blocks without letters (punctuation, symbols, emoji, forms of punctuation) are left
// out; what is not here and not below 0x0100 is no letter, or kOther by the last rule of ScriptOf.
constexpr Range kRanges[] = {
    {0x0041, 0x005a, Script::kLatin},    {0x0061, 0x007a, Script::kLatin},
    {0x00aa, 0x00aa, Script::kLatin},    {0x00ba, 0x00ba, Script::kLatin},
    {0x00c0, 0x00d6, Script::kLatin},    {0x00d8, 0x00f6, Script::kLatin},
    {0x00f8, 0x02af, Script::kLatin},    {0x0370, 0x03ff, Script::kGreek},
    {0x0400, 0x052f, Script::kCyrillic}, {0x0531, 0x058f, Script::kArmenian},
    {0x0591, 0x05ff, Script::kHebrew},   {0x0620, 0x065f, Script::kArabic},
    {0x066e, 0x06ef, Script::kArabic},   {0x06fa, 0x06ff, Script::kArabic},
    {0x0700, 0x074f, Script::kOther},    {0x0750, 0x077f, Script::kArabic},
    {0x0780, 0x089f, Script::kOther},    {0x08a0, 0x08ff, Script::kArabic},
    {0x0900, 0x0dff, Script::kIndic},    {0x0e01, 0x0eff, Script::kThai},
    {0x0f00, 0x109f, Script::kOther},    {0x10a0, 0x10ff, Script::kGeorgian},
    {0x1100, 0x11ff, Script::kHangul},   {0x1200, 0x1c8f, Script::kOther},
    {0x1c90, 0x1cbf, Script::kGeorgian}, {0x1cc0, 0x1cff, Script::kIndic},
    {0x1d00, 0x1dbf, Script::kLatin},    {0x1e00, 0x1eff, Script::kLatin},
    {0x1f00, 0x1fff, Script::kGreek},    {0x2c00, 0x2c5f, Script::kOther},
    {0x2c60, 0x2c7f, Script::kLatin},    {0x2c80, 0x2cff, Script::kOther},
    {0x2d00, 0x2d2f, Script::kGeorgian}, {0x2d30, 0x2ddf, Script::kOther},
    {0x2de0, 0x2dff, Script::kCyrillic}, {0x2e80, 0x2fdf, Script::kHan},
    {0x3005, 0x3007, Script::kHan},      {0x3021, 0x3029, Script::kHan},
    {0x3041, 0x30fa, Script::kKana},     {0x30fc, 0x30ff, Script::kKana},
    {0x3100, 0x312f, Script::kOther},    {0x3131, 0x318f, Script::kHangul},
    {0x31f0, 0x31ff, Script::kKana},     {0x3400, 0x4dbf, Script::kHan},
    {0x4e00, 0x9fff, Script::kHan},      {0xa000, 0xa63f, Script::kOther},
    {0xa640, 0xa69f, Script::kCyrillic}, {0xa720, 0xa7ff, Script::kLatin},
    {0xa8e0, 0xa8ff, Script::kIndic},    {0xa960, 0xa97f, Script::kHangul},
    {0xa980, 0xaaff, Script::kOther},    {0xab30, 0xab6f, Script::kLatin},
    {0xab70, 0xabff, Script::kOther},    {0xac00, 0xd7ff, Script::kHangul},
    {0xf900, 0xfaff, Script::kHan},      {0xfb00, 0xfb06, Script::kLatin},
    {0xfb13, 0xfb17, Script::kArmenian}, {0xfb1d, 0xfb4f, Script::kHebrew},
    {0xfb50, 0xfdff, Script::kArabic},   {0xfe70, 0xfefc, Script::kArabic},
    {0xff21, 0xff3a, Script::kLatin},    {0xff41, 0xff5a, Script::kLatin},
    {0xff66, 0xff9f, Script::kKana},     {0xffa0, 0xffdc, Script::kHangul},
    {0x10000, 0x1afff, Script::kOther},  {0x1b000, 0x1b16f, Script::kKana},
    {0x20000, 0x323af, Script::kHan},
};

// The code point at the front of `text`, which loses its bytes; 0 where they are not UTF-8 (one
// byte is taken then).
uint32_t Next(std::string_view& text) {
  const auto lead = static_cast<uint8_t>(text[0]);
  size_t length = 1;
  uint32_t code = lead;
  if (lead >= 0xf0 && lead < 0xf8) {
    length = 4;
    code = lead & 0x07U;
  } else if (lead >= 0xe0 && lead < 0xf0) {
    length = 3;
    code = lead & 0x0fU;
  } else if (lead >= 0xc0 && lead < 0xe0) {
    length = 2;
    code = lead & 0x1fU;
  } else if (lead >= 0x80) {
    code = 0;
  }
  for (size_t i = 1; i < length; ++i) {
    const uint32_t byte = i < text.size() ? static_cast<uint8_t>(text[i]) : 0;
    if ((byte & 0xc0U) != 0x80) {
      text.remove_prefix(1);
      return 0;
    }
    code = code << 6 | (byte & 0x3fU);
  }
  text.remove_prefix(length);
  return code;
}

}  // namespace

std::string_view ScriptName(Script script) {
  constexpr std::string_view kNames[kScripts] = {
      "Latin", "Greek",    "Cyrillic", "Armenian", "Hebrew", "Arabic", "Indic",
      "Thai",  "Georgian", "Hangul",   "kana",     "Han",    "other"};
  return kNames[static_cast<size_t>(script)];
}

ScriptCounts CountScripts(std::string_view text) {
  ScriptCounts counts{};
  while (!text.empty()) {
    const uint32_t code = Next(text);
    const Range* const after =
        std::upper_bound(std::begin(kRanges), std::end(kRanges), code,
                         [](uint32_t c, const Range& range) { return c < range.first; });
    if (after == std::begin(kRanges)) continue;
    const Range& range = *(after - 1);
    if (code <= range.last) ++counts[static_cast<size_t>(range.script)];
  }
  return counts;
}

}  // namespace octavo::text
