// The traffic check on prose and code of this repository: what it says, and how often it is wrong.
// The figures of docs/calibration.md come from traffic_check_slow_test.cc.
#include "compress/traffic_check.h"

#include <gtest/gtest.h>

#include "compress/fixture.h"
#include "core/thread_pool.h"

namespace octavo::compress {
namespace {

const TrafficFinding& Find(const TrafficReport& report, const std::string& test) {
  for (const TrafficFinding& f : report.findings)
    if (f.test == test) return f;
  ADD_FAILURE() << "no test " << test;
  return report.findings.front();
}

class TrafficCheck : public ::testing::Test {
 protected:
  TrafficCheck() {
    for (const char* name :
         {"architecture", "numerics", "verdict", "format", "benchmarks", "api"}) {
      const std::string path = std::string(OCTAVO_SOURCE_DIR) + "/docs/" + name + ".md";
      AddPieces(tokenizer_, core::ReadFile(path).value(), 3, prose_);
    }
  }
  TrafficReport Compare(const PromptPool& calibration, const PromptPool& traffic,
                        const TrafficCheckOptions& options = {}) {
    return CompareWithTraffic({calibration, {}}, {traffic, {}}, options, tokenizer_, pool_);
  }

  const text::Tokenizer tokenizer_ =
      text::Tokenizer::Load(std::string(OCTAVO_TESTDATA) + "/text/byte_level").value();
  PromptPool prose_;
  core::ThreadPool pool_{2};
};

TEST_F(TrafficCheck, SaysThatTrafficHasCodeAndQuotesIt) {
  core::Random random(1);
  const PromptPool code = CodePool(tokenizer_, std::string(OCTAVO_SOURCE_DIR) + "/src/core");
  PromptPool traffic = Draw(prose_, 30, random);
  for (SampledPrompt& prompt : Draw(code, 30, random)) traffic.push_back(std::move(prompt));
  const TrafficReport report = Compare(Draw(prose_, 60, random), traffic);
  EXPECT_TRUE(report.differs());
  const TrafficFinding& finding = Find(report, "code");
  EXPECT_TRUE(finding.differs);
  EXPECT_NE(finding.words.find(" of production prompts contain code, "), std::string::npos);
  EXPECT_EQ(finding.quotes.find("production, line "), 0U) << finding.quotes;
  // The record has no prompts in it.
  const std::string record = report.ToJson().dump();
  EXPECT_EQ(record.find("line "), std::string::npos) << record;
}

TEST_F(TrafficCheck, NamesTheScript) {
  core::Random random(2);
  const PromptPool cyrillic = InCyrillic(tokenizer_, Draw(prose_, 50, random));
  const TrafficReport report = Compare(Draw(prose_, 50, random), cyrillic);
  const TrafficFinding& finding = Find(report, "script");
  EXPECT_TRUE(finding.differs);
  EXPECT_EQ(finding.words,
            "100 % of the letters of production prompts are Cyrillic, 0 % of those of calibration "
            "prompts");
}

TEST_F(TrafficCheck, NamesLengthAndForm) {
  core::Random random(3);
  const PromptPool calibration = Draw(prose_, 60, random);
  PromptPool traffic = Draw(prose_, 60, random);
  for (SampledPrompt& prompt : traffic) {
    prompt.messages = 3;
    prompt.system = true;
    const auto ids = prompt.ids;
    prompt.ids.insert(prompt.ids.end(), ids.begin(), ids.end());  // twice as long, same tokens
  }
  const TrafficReport report = Compare(calibration, traffic);
  EXPECT_TRUE(Find(report, "length").differs);
  EXPECT_TRUE(Find(report, "form").differs);
  EXPECT_FALSE(Find(report, "code").differs);
  EXPECT_FALSE(Find(report, "script").differs) << report.ToJson().dump(1);
  // Windows of a text have the length and form that --context gave them.
  EXPECT_FALSE(Compare(calibration, traffic, {.windows = true}).differs());
}

TEST_F(TrafficCheck, SplitsOfOnePoolDifferSeldom) {
  core::Random random(4);
  constexpr int kSplits = 100;
  int alarms = 0;
  for (int i = 0; i < kSplits; ++i) {
    const PromptPool all = Draw(prose_, 60, random);
    const PromptPool first(all.begin(), all.begin() + 30);
    const PromptPool second(all.begin() + 30, all.end());
    alarms += Compare(first, second, {.seed = random.Next()}).differs() ? 1 : 0;
  }
  EXPECT_LE(alarms, 5);  // 1 expected; more than 5 once in 2,000
}

TEST_F(TrafficCheck, IsTheSameForAnyNumberOfThreads) {
  core::Random random(5);
  const PromptPool a = Draw(prose_, 40, random);
  const PromptPool b = Draw(prose_, 40, random);
  core::ThreadPool one(1);
  EXPECT_EQ(CompareWithTraffic({a, {}}, {b, {}}, {}, tokenizer_, one).ToJson(),
            Compare(a, b).ToJson());
}

}  // namespace
}  // namespace octavo::compress
