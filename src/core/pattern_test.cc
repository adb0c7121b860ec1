#include "core/pattern.h"

#include <string>

#include <gtest/gtest.h>

namespace octavo::core {
namespace {

bool Matches(std::string_view pattern, std::string_view text) {
  const auto parsed = Pattern::Parse(pattern);
  EXPECT_TRUE(parsed.ok()) << pattern;
  return parsed.ok() && parsed.value().MatchesStart(text);
}

// Answers of Python's re.match.
TEST(Pattern, MatchesAsPythonDoes) {
  const struct {
    const char* pattern;
    const char* text;
    bool matches;
  } cases[] = {
      {"", "anything", true},
      {".*mlp\\.up_proj$", "model.layers.0.mlp.up_proj", true},
      {".*mlp\\.up_proj$", "model.layers.0.mlp.up_proj2", false},
      {".*mlp\\.up_proj$", "model.layers.0.mlpxup_proj", false},
      {".*(q|k|v)_proj$", "model.layers.0.self_attn.k_proj", true},
      {".*(q|k|v)_proj$", "model.layers.0.self_attn.o_proj", false},
      {"model\\.layers\\.([0-9]|1[0-9])\\..*", "model.layers.17.mlp.up_proj", true},
      {"model\\.layers\\.([0-9]|1[0-9])\\..*", "model.layers.27.mlp.up_proj", false},
      {"model\\.layers\\.\\d+\\.mlp", "model.layers.123.mlp.up_proj", true},
      {"model\\.layers\\.\\d{1,2}\\.mlp", "model.layers.123.mlp.up_proj", false},
      {"^(?:lm_head|model\\.norm)$", "lm_head", true},
      {"^lm_head", "model.lm_head", false},
      {"lm_head", "model.lm_head", false},
      {"[^a-z]+x", "012x", true},
      {"[^a-z]+x", "a012x", false},
      {"[]a]+$", "a]a", true},
      {"[a-]+$", "a-a", true},
      {"[\\w.]+$", "model.layers_1", true},
      {"(a*)*$", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab", false},
      {"(a|aa)+$", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab", false},
      {"a{0}b", "b", true},
      {"a{2,}b", "ab", false},
      {"a{2,}b", "aaaab", true},
      {"a??b", "ab", true},
      {"a|", "b", true},
      {".", "\n", false},
      {"$", "", true},
      {"$", "a", false},
  };
  for (const auto& c : cases) EXPECT_EQ(Matches(c.pattern, c.text), c.matches) << c.pattern;
  EXPECT_TRUE(Pattern::Parse("a|ab").value().MatchesAll("ab"));
  EXPECT_FALSE(Pattern::Parse("a|b").value().MatchesAll("ab"));
  EXPECT_FALSE(Pattern::Parse("a").value().MatchesAll(""));
}

TEST(Pattern, RefusesWhatItDoesNotRead) {
  const struct {
    std::string pattern;
    const char* error;
  } cases[] = {
      {"(?!a)", "'(?'"},
      {"(?i)a", "'(?'"},
      {"(?P<n>a)", "'(?'"},
      {"\\bword", "'\\b'"},
      {"(a)\\1", "'\\1'"},
      {"a\\", "backslash"},
      {"(a", "'(' without ')'"},
      {"a)", "')' without '('"},
      {"[a", "'[' without ']'"},
      {"[z-a]", "range"},
      {"*a", "repeats nothing"},
      {"a**", "repeats a repetition"},
      {"a{3,2}", "'{'"},
      {"a{99999999999999}", "'{'"},
      {"a{x}", "'{'"},
      {"((a{1000}){1000})", "too many repetitions"},
      {std::string(2000, 'a'), "longer than 1024"},
      {std::string(40, '(') + std::string(40, ')'), "nested"},
  };
  for (const auto& c : cases) {
    const auto parsed = Pattern::Parse(c.pattern);
    ASSERT_FALSE(parsed.ok()) << c.pattern;
    EXPECT_NE(parsed.error().message().find(c.error), std::string::npos)
        << parsed.error().message();
  }
}

}  // namespace
}  // namespace octavo::core
