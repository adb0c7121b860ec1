#include "engine/sampling.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include <gtest/gtest.h>

#include "engine/stop_scanner.h"

namespace octavo::engine {
namespace {

std::map<text::TokenId, double> Frequencies(const SamplingOptions& options,
                                            const std::vector<float>& logits, int draws) {
  Sampler sampler(options);
  std::map<text::TokenId, double> out;
  for (int i = 0; i < draws; ++i) out[sampler.Sample(logits)] += 1.0 / draws;
  return out;
}

TEST(Sampler, GreedyTakesTheFirstOfEqualMaxima) {
  Sampler sampler(SamplingOptions{});
  EXPECT_EQ(sampler.Sample(std::vector<float>{1, 3, 3, 2}), 1);
}

TEST(Sampler, FrequenciesFollowTheSoftmax) {
  SamplingOptions options;
  options.temperature = 0.5;
  options.seed = 7;
  const std::vector<float> logits = {0, 0.5F, 1, -1};
  const auto seen = Frequencies(options, logits, 20000);
  double total = 0;
  for (const float logit : logits) total += std::exp(logit / 0.5);
  for (size_t i = 0; i < logits.size(); ++i) {
    const double p = std::exp(logits[i] / 0.5) / total;
    // Four standard deviations of a share of 20,000 draws.
    EXPECT_NEAR(seen.at(static_cast<text::TokenId>(i)), p, 4 * std::sqrt(p * (1 - p) / 20000));
  }
}

TEST(Sampler, TopKAndTopPCutTheTail) {
  SamplingOptions options;
  options.temperature = 1;
  options.top_k = 2;
  const std::vector<float> logits = {2, 1, 0.9F, -5};
  EXPECT_EQ(Frequencies(options, logits, 500).size(), 2U);
  options.top_k = 0;
  options.top_p = 0.5;  // the likeliest alone has 0.58
  EXPECT_EQ(Frequencies(options, logits, 500).size(), 1U);
  options.top_p = 0.82;  // the first two have 0.80
  EXPECT_EQ(Frequencies(options, logits, 500).size(), 3U);
}

TEST(Sampler, GreedyFindsTheFirstMaximumOfLongRowsAnywhere) {
  Sampler sampler(SamplingOptions{});
  for (const size_t size : {size_t{1}, size_t{15}, size_t{1024}, size_t{1040}, size_t{5003}}) {
    for (size_t at = 0; at < size; at += 1 + size / 37) {
      std::vector<float> logits(size, -7.0F);
      logits[at] = -6.5F;
      logits[size - 1] = -6.5F;  // a later equal
      EXPECT_EQ(sampler.Sample(logits), static_cast<text::TokenId>(at)) << size;
    }
  }
}

TEST(Sampler, ImpossibleTokensAreNeverDrawn) {
  const float none = -std::numeric_limits<float>::infinity();
  const std::vector<float> logits = {NAN, none, 1, NAN, 0, none};
  EXPECT_EQ(Sampler(SamplingOptions{}).Sample(logits), 2);
  EXPECT_EQ(Sampler(SamplingOptions{}).Sample(std::vector<float>{NAN, NAN}), 0);
  SamplingOptions options;
  options.temperature = 1;
  const auto seen = Frequencies(options, logits, 2000);
  EXPECT_EQ(seen.size(), 2U);
  EXPECT_NEAR(seen.at(2), 1 / (1 + std::exp(-1.0)), 0.05);
  options.top_p = 0.99;
  EXPECT_EQ(Frequencies(options, logits, 500).size(), 2U);
}

TEST(Sampler, TopPOverAFlatVocabularyKeepsJustItsShare) {
  SamplingOptions options;
  options.temperature = 1;
  options.top_p = 0.3;
  // 180 of 600 alike ones, those of the lowest ids: more than are sorted at once.
  std::vector<float> logits(600, 1.0F);
  Sampler sampler(options);
  std::vector<bool> seen(logits.size());
  for (int i = 0; i < 4000; ++i) seen[static_cast<size_t>(sampler.Sample(logits))] = true;
  EXPECT_EQ(std::count(seen.begin(), seen.begin() + 180, true), 180);
  EXPECT_LE(std::count(seen.begin() + 180, seen.end(), true), 1);  // 0.3 * 600 as a double
}

TEST(Sampler, TopPIsAShareOfWhatTopKLeaves) {
  SamplingOptions options;
  options.temperature = 1;
  options.top_k = 2;
  options.top_p = 0.6;  // of the first two, the first has 0.62
  const std::vector<float> logits = {1, 0.5F, 0.4F, 0.3F, 0.2F};
  EXPECT_EQ(Frequencies(options, logits, 500).size(), 1U);
}

TEST(Sampler, TheSameSeedGivesTheSameTokens) {
  SamplingOptions options;
  options.temperature = 1;
  options.seed = 42;
  Sampler a(options);
  Sampler b(options);
  options.seed = 43;
  Sampler c(options);
  const std::vector<float> logits(100, 0.0F);
  bool differs = false;
  for (int i = 0; i < 50; ++i) {
    const auto id = a.Sample(logits);
    EXPECT_EQ(id, b.Sample(logits));
    differs = differs || id != c.Sample(logits);
  }
  EXPECT_TRUE(differs);
}

TEST(Sampler, OptionsOutOfRangeNameTheField) {
  const auto refusal = [](auto change) {
    SamplingOptions options;
    change(options);
    const auto status = Validate(options);
    return status.ok() ? std::string() : status.error().message();
  };
  EXPECT_NE(refusal([](auto& o) { o.temperature = 2.5; }).find("temperature"), std::string::npos);
  EXPECT_NE(refusal([](auto& o) { o.temperature = NAN; }).find("temperature"), std::string::npos);
  EXPECT_NE(refusal([](auto& o) { o.top_p = 0; }).find("top_p"), std::string::npos);
  EXPECT_NE(refusal([](auto& o) { o.top_k = -1; }).find("top_k"), std::string::npos);
  EXPECT_NE(refusal([](auto& o) { o.max_tokens = -1; }).find("max_tokens"), std::string::npos);
  EXPECT_NE(refusal([](auto& o) { o.stop = {""}; }).find("stop"), std::string::npos);
  EXPECT_EQ(refusal([](auto&) {}), "");
}

TEST(LogProbability, IsTheLogOfTheSoftmax) {
  const std::vector<float> logits = {1000, 1001, 999};
  const double total = std::exp(-1.0) + 1 + std::exp(-2.0);
  EXPECT_NEAR(LogProbability(logits, 0), -1 - std::log(total), 1e-12);
}

TEST(StopScanner, HoldsBackWhatMayBecomeAStopString) {
  StopScanner scanner({"END", "\n\n"});
  EXPECT_EQ(scanner.Push("abE"), "ab");
  EXPECT_EQ(scanner.Push("N"), "");
  EXPECT_EQ(scanner.Push("x\n"), "ENx");
  EXPECT_EQ(scanner.Push("y"), "\ny");
  EXPECT_EQ(scanner.Push("zEND tail"), "z");
  EXPECT_TRUE(scanner.stopped());
  EXPECT_EQ(scanner.Push("more"), "");
}

TEST(StopScanner, TheEarliestStopStringWinsAndTheRestComesAtTheEnd) {
  StopScanner scanner({"bc", "ab"});
  EXPECT_EQ(scanner.Push("xabc"), "x");
  EXPECT_TRUE(scanner.stopped());
  StopScanner open({"abc"});
  EXPECT_EQ(open.Push("xab"), "x");
  EXPECT_EQ(open.Finish(), "ab");
  EXPECT_FALSE(open.stopped());
}

}  // namespace
}  // namespace octavo::engine
