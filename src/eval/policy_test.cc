// Policies: what is read, what is refused, and that the digest follows the meaning.
#include "eval/policy.h"

#include <gtest/gtest.h>

namespace octavo::eval {
namespace {

core::Result<Policy> Parse(std::string_view toml) {
  auto document = core::ParseToml(toml);
  if (!document.ok()) return std::move(document).error();
  return ParsePolicy(document.value());
}

TEST(Policy, ReadsRulesInOrder) {
  const auto policy = Parse(R"(
[[rule]]
metric = "perplexity[*].ratio"
max = 1.01
[[rule]]
metric = "speed.decode_ratio"
min = 1
confidence = 0.9
[[rule]]
metric = "tasks[piqa].acc"
max_drop_points = 1.5
)");
  ASSERT_TRUE(policy.ok()) << policy.error().message();
  ASSERT_EQ(policy.value().rules.size(), 3u);
  EXPECT_EQ(policy.value().rules[0].metric, "perplexity[*].ratio");
  EXPECT_EQ(policy.value().rules[0].limit, Limit::kMax);
  EXPECT_EQ(policy.value().rules[0].confidence, 0.95);
  EXPECT_EQ(policy.value().rules[1].limit, Limit::kMin);
  EXPECT_EQ(policy.value().rules[1].bound, 1.0);
  EXPECT_EQ(policy.value().rules[1].confidence, 0.9);
  EXPECT_EQ(policy.value().rules[2].limit, Limit::kMaxDropPoints);
}

TEST(Policy, RefusesWhatItCannotMean) {
  struct Case {
    const char* toml;
    const char* message;
  };
  for (const Case& c : {
           Case{"", "at least one [[rule]]"},
           Case{"rule = 3", "at least one [[rule]]"},
           Case{"rule = []", "at least one [[rule]]"},
           Case{"[[rule]]\nmax = 1", "rule 1: field 'metric' is missing"},
           Case{"[[rule]]\nmetric = 'a'", "0 limits"},
           Case{"[[rule]]\nmetric = 'a'\nmax = 1\nmin = 0", "2 limits"},
           Case{"[[rule]]\nmetric = 'a'\nmax = 'x'", "'max' is a string"},
           Case{"[[rule]]\nmetric = 'a'\nmax = nan", "not a finite number"},
           Case{"[[rule]]\nmetric = 'a'\nmax = inf", "not a finite number"},
           Case{"[[rule]]\nmetric = 'a'\nmax = 1\nconfidence = 1", "confidence is 1"},
           Case{"[[rule]]\nmetric = 'a'\nmax = 1\nconfidence = 0.2", "confidence is 0.2"},
           Case{"[[rule]]\nmetric = 'a'\nmaximum = 1", "maximum"},
           Case{"[[rule]]\nmetric = 'a'\nmax = 1\n[[rules]]\nmetric = 'b'", "rules"},
       }) {
    const auto policy = Parse(c.toml);
    ASSERT_FALSE(policy.ok()) << c.toml;
    EXPECT_NE(policy.error().message().find(c.message), std::string::npos)
        << c.toml << " gave " << policy.error().message();
  }
}

TEST(Policy, TheDefaultIsItsOwnNormalForm) {
  const Policy policy = DefaultPolicy();
  const auto back = ParsePolicy(PolicyJson(policy));
  ASSERT_TRUE(back.ok()) << back.error().message();
  EXPECT_EQ(PolicyDigest(back.value()), PolicyDigest(policy));
}

TEST(Policy, TheDigestFollowsTheMeaningAndNotTheSpelling) {
  const auto a = Parse("[[rule]]\nmetric = 'a'\nmax = 1.0\n");
  const auto b = Parse("# the same\n[[rule]]\nconfidence = 0.95\nmax = 1\nmetric = \"a\"");
  const auto c = Parse("[[rule]]\nmetric = 'a'\nmin = 1.0\n");
  EXPECT_EQ(PolicyDigest(a.value()), PolicyDigest(b.value()));
  EXPECT_NE(PolicyDigest(a.value()), PolicyDigest(c.value()));
}

}  // namespace
}  // namespace octavo::eval
