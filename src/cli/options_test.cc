#include "cli/options.h"

#include <gtest/gtest.h>

namespace octavo::cli {
namespace {

struct Values {
  std::string model;
  std::string out;
  std::string kind = "a";
  int64_t count = 7;
  double heat = 0.5;
  std::vector<std::string> list;
  bool flag = false;
};

core::Result<bool> Parse(const std::vector<std::string>& arguments, Values& v,
                         std::string* help = nullptr) {
  Options options("try", "Tries things", "octavo try MODEL --out X");
  options.Positional("MODEL", v.model, "what to try");
  options.Required("--out", "DIR", v.out, "where to");
  options.Choice("--kind", {"a", "b"}, v.kind, "which kind");
  options.Value("--count", "N", v.count, "how many");
  options.Value("--heat", "T", v.heat, "how hot");
  options.Values("--list", "X", v.list, "several");
  options.Flag("--flag", v.flag, "a switch");
  if (help != nullptr) *help = options.Help();
  return options.Parse(arguments);
}

TEST(Options, SetsWhatIsGivenAndKeepsDefaults) {
  Values v;
  const auto parsed = Parse({"m", "--out=o", "--count", "-3", "--list", "x,y", "--flag"}, v);
  ASSERT_TRUE(parsed.ok()) << parsed.error().message();
  EXPECT_EQ(v.model, "m");
  EXPECT_EQ(v.out, "o");
  EXPECT_EQ(v.kind, "a");
  EXPECT_EQ(v.count, -3);
  EXPECT_EQ(v.heat, 0.5);
  EXPECT_EQ(v.list, (std::vector<std::string>{"x", "y"}));
  EXPECT_TRUE(v.flag);
}

TEST(Options, WhatFollowsTwoDashesIsNoOption) {
  Values v;
  ASSERT_TRUE(Parse({"--out", "o", "--", "--model"}, v).ok());
  EXPECT_EQ(v.model, "--model");
}

TEST(Options, ErrorsNameTheArgument) {
  const auto message = [](const std::vector<std::string>& arguments) {
    Values v;
    const auto parsed = Parse(arguments, v);
    if (parsed.ok()) return std::string("no error");
    EXPECT_EQ(parsed.error().code(), core::ErrorCode::kUsage);
    return parsed.error().message();
  };
  EXPECT_EQ(message({"m"}), "--out is required");
  EXPECT_EQ(message({"--out", "o"}), "MODEL is required");
  EXPECT_EQ(message({"m", "--out", "o", "--cuont", "1"}), "unknown argument '--cuont'");
  EXPECT_NE(message({"m", "--out", "o", "--kind", "c"}).find("'c' is not one of a|b"),
            std::string::npos);
  EXPECT_NE(message({"m", "--out", "o", "--count", "many"}).find("--count"), std::string::npos);
}

TEST(Options, HelpShowsDefaultsAndTheExample) {
  Values v;
  std::string help;
  ASSERT_TRUE(Parse({"m", "--out", "o"}, v, &help).ok());
  for (const char* part :
       {"Tries things", "octavo try", "MODEL", "what to try", "--out DIR", "(required)",
        "--count N", "[7]", "--kind a|b", "[a]", "octavo try MODEL --out X"}) {
    EXPECT_NE(help.find(part), std::string::npos) << part << " is not in\n" << help;
  }
}

TEST(Options, AskingForHelpIsNoError) {
  Values v;
  const auto parsed = Parse({"--help"}, v);
  ASSERT_TRUE(parsed.ok());
  EXPECT_FALSE(parsed.value());
}

}  // namespace
}  // namespace octavo::cli
