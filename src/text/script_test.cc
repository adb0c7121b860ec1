// Scripts and code in texts.
#include "text/script.h"

#include <gtest/gtest.h>

#include "text/code_share.h"

namespace octavo::text {
namespace {

int64_t Count(std::string_view text, Script script) {
  return CountScripts(text)[static_cast<size_t>(script)];
}

TEST(Script, CountsLettersAndNothingElse) {
  const std::string text =
      "Caf\u00e9 12.5 \u20ac, \u041c\u0438\u0440! \u4e16\u754c \u3053\u3093 \U0001f600";
  EXPECT_EQ(Count(text, Script::kLatin), 4);
  EXPECT_EQ(Count(text, Script::kCyrillic), 3);
  EXPECT_EQ(Count(text, Script::kHan), 2);
  EXPECT_EQ(Count(text, Script::kKana), 2);
  EXPECT_EQ(Count(text, Script::kOther), 0);
  EXPECT_EQ(Count("\u03b1\u03b2 \u05d0 \u0627 \u0915 \u0e01 \u10d0 \uac00 \u0531", Script::kGreek),
            2);
  for (const Script s : {Script::kHebrew, Script::kArabic, Script::kIndic, Script::kThai,
                         Script::kGeorgian, Script::kHangul, Script::kArmenian}) {
    EXPECT_EQ(Count("\u05d0 \u0627 \u0915 \u0e01 \u10d0 \uac00 \u0531", s), 1) << ScriptName(s);
  }
  EXPECT_EQ(Count("\u1200\u0710", Script::kOther), 2);
}

TEST(Script, PassesOverWhatIsNotUtf8) {
  EXPECT_EQ(Count("a\xff\xc3"
                  "b\xe2\x82",
                  Script::kLatin),
            2);
  EXPECT_EQ(Count("\xf0\x9f\x98", Script::kOther), 0);
  EXPECT_EQ(Count("", Script::kLatin), 0);
}

TEST(CodeShare, TellsCodeFromProse) {
  const char* const prose =
      "The committee met on Tuesday; it was, the chair said, about time.\n"
      "From here, import duties rise (see page 4) and class sizes fall.\n"
      "If it rains, return the books: the library is open for all.\n"
      " = = Early life = = \n"
      "Is 3 + 4 = 7? Natalia sold 48 / 2 = 24 clips in May.";
  EXPECT_EQ(CodeShare(prose), 0);
  EXPECT_FALSE(ContainsCode(prose));
  const char* const codes[] = {
      "int main() {\n  std::vector<int> v;\n  v.push_back(1);\n  return v[0];\n}\n",
      "import os\n\ndef main(path):\n    for name in os.listdir(path):\n        print(name)\n",
      "SELECT name FROM users\nWHERE id == 3 && x;\nUPDATE users SET a = 1;\n",
      "Why does this fail?\n```\nfoo bar\nbaz\n```\n",
      "function add(a, b) {\n  const sum = a + b;\n  return sum;\n}\n"};
  for (const char* const code : codes) {
    EXPECT_GE(CodeShare(code), 0.5) << code;
    EXPECT_TRUE(ContainsCode(code)) << code;
  }
  EXPECT_EQ(CodeShare(""), 0);
  EXPECT_EQ(CodeShare("\n \n"), 0);
}

}  // namespace
}  // namespace octavo::text
