// Suites: defaults, what is refused, and that the digest follows content and not places.
#include "eval/suite.h"

#include <cstdlib>

#include <gtest/gtest.h>

#include "core/file.h"

namespace octavo::eval {
namespace {

class SuiteTest : public ::testing::Test {
 protected:
  SuiteTest() {
    std::string pattern = ::testing::TempDir() + "octavo_suite_XXXXXX";
    folder_ = ::mkdtemp(pattern.data());
    Write("wiki.valid.txt", "some text");
    Write("prompts.jsonl", "{\"prompt\":\"hello\"}\n");
  }
  ~SuiteTest() override { EXPECT_TRUE(core::RemoveAll(folder_).ok()); }

  void Write(const std::string& name, const std::string& content) const {
    ASSERT_TRUE(core::WriteFileAtomic(core::JoinPath(folder_, name), content).ok());
  }
  core::Result<Suite> Load(const std::string& toml) const {
    Write("suite.toml", toml);
    return LoadSuite(core::JoinPath(folder_, "suite.toml"));
  }

  std::string folder_;
};

TEST_F(SuiteTest, ReadsTextsAndPromptsWithDefaults) {
  const auto suite = Load(R"(
[[text]]
file = "wiki.valid.txt"
[[text]]
name = "short"
file = "/elsewhere/a.txt"
context = 64
chunks = 3
score = "all"
[[prompts]]
file = "prompts.jsonl"
)");
  ASSERT_TRUE(suite.ok()) << suite.error().message();
  const TextSpec& wiki = suite.value().texts.at(0);
  EXPECT_EQ(wiki.name, "wiki.valid");
  EXPECT_EQ(wiki.file, core::JoinPath(folder_, "wiki.valid.txt"));
  EXPECT_EQ(wiki.context, 512);
  EXPECT_EQ(wiki.chunks, 0);
  EXPECT_EQ(wiki.score, Score::kSecondHalf);
  const TextSpec& other = suite.value().texts.at(1);
  EXPECT_EQ(other.file, "/elsewhere/a.txt");
  EXPECT_EQ(other.context, 64);
  EXPECT_EQ(other.chunks, 3);
  EXPECT_EQ(other.score, Score::kAll);
  EXPECT_EQ(suite.value().prompts.at(0).max_tokens, 48);
  EXPECT_TRUE(suite.value().speed && suite.value().memory);
}

TEST_F(SuiteTest, LeavesMeasurementsOutOnRequestAndItsDigestSaysSo) {
  const std::string text = "[[text]]\nfile = 'wiki.valid.txt'\n";
  const Suite all = Load(text).value();
  const Suite no_speed = Load(text + "[measure]\nspeed = false").value();
  EXPECT_FALSE(no_speed.speed);
  EXPECT_TRUE(no_speed.memory);
  const Suite no_memory = Load(text + "[measure]\nmemory = false").value();
  EXPECT_TRUE(no_memory.speed);
  EXPECT_FALSE(no_memory.memory);
  EXPECT_NE(SuiteDigest(all).value(), SuiteDigest(no_speed).value());
  EXPECT_NE(SuiteDigest(all).value(), SuiteDigest(no_memory).value());
  EXPECT_NE(SuiteDigest(no_speed).value(), SuiteDigest(no_memory).value());
  const Suite said = Load(text + "[measure]\nspeed = true\nmemory = true").value();
  EXPECT_EQ(SuiteDigest(all).value(), SuiteDigest(said).value());
}

TEST_F(SuiteTest, RefusesWhatItCannotMean) {
  struct Case {
    const char* toml;
    const char* message;
  };
  for (const Case& c : {
           Case{"", "asks for nothing"},
           Case{"text = 3", "write [[text]]"},
           Case{"[[text]]\nname = 'a'", "text 1: field 'file' is missing"},
           Case{"[[text]]\nfile = 'a'\ncontext = 1", "context is 1, expected 2"},
           Case{"[[text]]\nfile = 'a'\ncontext = 99999999", "context is 99999999"},
           Case{"[[text]]\nfile = 'a'\nchunks = 0", "chunks is 0"},
           Case{"[[text]]\nfile = 'a'\nscore = 'half'", "second-half or all"},
           Case{"[[text]]\nfile = 'a'\nwindow = 3", "window"},
           Case{"[[text]]\nfile = 'a'\nname = '*'", "name that policies can use"},
           Case{"[[text]]\nfile = 'a'\nname = 'x]'", "name that policies can use"},
           Case{"[[text]]\nfile = 'x/a.txt'\n[[text]]\nfile = 'y/a.txt'", "used twice"},
           Case{"[[prompts]]\nfile = 'a'\nmax_tokens = 0", "max_tokens is 0"},
           Case{"[[task]]\nname = 'piqa'", "task"},
           Case{"[[text]]\nfile = 'a'\n[measure]\nspede = false", "did you mean 'speed'"},
           Case{"[[text]]\nfile = 'a'\n[measure]\nspeed = 0", "[measure]: field 'speed'"},
           Case{"measure = false\n[[text]]\nfile = 'a'", "write [measure]"},
           Case{"[measure]\nspeed = true", "asks for nothing"},
       }) {
    const auto suite = Load(c.toml);
    ASSERT_FALSE(suite.ok()) << c.toml;
    EXPECT_NE(suite.error().message().find(c.message), std::string::npos)
        << c.toml << " gave " << suite.error().message();
    EXPECT_NE(suite.error().message().find("suite.toml"), std::string::npos);
  }
}

TEST_F(SuiteTest, TheDigestFollowsContentAndNotPlaces) {
  const std::string toml =
      "[[text]]\nname = 'w'\nfile = 'wiki.valid.txt'\n[[prompts]]\nfile = 'prompts.jsonl'";
  const std::string digest = SuiteDigest(Load(toml).value()).value();
  Write("moved.txt", "some text");
  EXPECT_EQ(SuiteDigest(
                Load("[[text]]\nname = 'w'\ncontext = 512\nfile = 'moved.txt'\n[[prompts]]\nfile = "
                     "'prompts.jsonl'")
                    .value())
                .value(),
            digest);
  Write("wiki.valid.txt", "other text");
  EXPECT_NE(SuiteDigest(Load(toml).value()).value(), digest);
  EXPECT_NE(SuiteDigest(Load("[[text]]\nname = 'w'\nfile = 'moved.txt'").value()).value(), digest);
  Write("wiki.valid.txt", "some text");
  EXPECT_EQ(SuiteDigest(Load(toml).value()).value(), digest);
}

TEST_F(SuiteTest, ADigestNeedsTheFiles) {
  const auto digest = SuiteDigest(Load("[[text]]\nfile = 'missing.txt'").value());
  ASSERT_FALSE(digest.ok());
  EXPECT_NE(digest.error().message().find("missing.txt"), std::string::npos);
}

TEST(TextName, IsTheFileNameWithoutItsExtension) {
  EXPECT_EQ(TextName("/a/b/wiki.valid.txt"), "wiki.valid");
  EXPECT_EQ(TextName("plain"), "plain");
  EXPECT_EQ(TextName(".hidden"), ".hidden");
}

}  // namespace
}  // namespace octavo::eval
