// Row scores against long double arithmetic written straight from the definitions.
#include "eval/row_score.h"

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <limits>
#include <vector>

#include <gtest/gtest.h>

#include "core/random.h"

namespace octavo::eval {
namespace {

struct Reference {
  long double baseline_nll, candidate_nll, kld;
};

Reference Define(const std::vector<float>& a, const std::vector<float>& b, size_t target) {
  const auto lse = [](const std::vector<float>& row) {
    const long double max = *std::max_element(row.begin(), row.end());
    long double sum = 0;
    for (float x : row) sum += std::exp(static_cast<long double>(x) - max);
    return max + std::log(sum);
  };
  const long double lse_a = lse(a);
  const long double lse_b = lse(b);
  long double kld = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const long double log_p = a[i] - lse_a;
    kld += std::exp(log_p) * (log_p - (b[i] - lse_b));
  }
  return {lse_a - a[target], lse_b - b[target], kld};
}

RowScore ScoreRow(const std::vector<float>& a, const std::vector<float>& b, int32_t target) {
  core::ThreadPool pool(1);
  RowScore score;
  ScoreRows(a, b, std::vector<int32_t>{target}, pool, {&score, 1});
  return score;
}

std::vector<float> RandomRow(core::Random& random, size_t vocab, double scale) {
  std::vector<float> row(vocab);
  for (float& x : row) x = static_cast<float>(scale * random.Normal());
  return row;
}

// The tolerances are those that row_score.h promises, plus the rounding of values of the size of
// the logits.
TEST(ScoreRows, EqualTheDefinitionForEveryTailAndSpread) {
  core::Random random(7);
  for (size_t vocab : std::initializer_list<size_t>{1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 257, 49152}) {
    for (double scale : {1e-3, 1.0, 10.0, 300.0}) {
      const std::vector<float> a = RandomRow(random, vocab, scale);
      std::vector<float> b = a;
      double spread = 0;
      for (size_t i = 0; i < vocab; ++i) {
        b[i] += static_cast<float>(0.05 * scale * random.Normal());
        spread = std::max(spread, std::abs(static_cast<double>(a[i]) - b[i]));
      }
      const auto target = static_cast<int32_t>(random.Below(vocab));
      const RowScore score = ScoreRow(a, b, target);
      const Reference expected = Define(a, b, static_cast<size_t>(target));
      const double rounding = 1e-15 * scale * 10;
      EXPECT_NEAR(score.baseline_nll, static_cast<double>(expected.baseline_nll), 1e-11 + rounding);
      EXPECT_NEAR(score.candidate_nll, static_cast<double>(expected.candidate_nll),
                  1e-11 + rounding);
      EXPECT_NEAR(score.kld, static_cast<double>(expected.kld), 4e-11 * (1 + spread) + rounding)
          << "V " << vocab << " scale " << scale;
    }
  }
}

TEST(ScoreRows, KnownValues) {
  // p = (1/2, 1/2), q = (1/4, 3/4): KL = ln 2 - 1/2 ln 3 + ... = 1/2 ln(4/3).
  const RowScore score = ScoreRow({0, 0}, {0, std::log(3.0f)}, 1);
  EXPECT_NEAR(score.baseline_nll, std::log(2.0), 1e-11);
  EXPECT_NEAR(score.candidate_nll, std::log(4.0 / 3), 1e-7);  // log(3) rounded to f32
  EXPECT_NEAR(score.kld, 0.5 * std::log(4.0 / 3), 1e-7);
  EXPECT_FALSE(score.same_top);  // all equal: id 0 against id 1
}

TEST(ScoreRows, ADivergenceHasADirection) {
  const std::vector<float> a = {0, 0, 5};
  const std::vector<float> b = {0, 3, 0};
  EXPECT_GT(std::abs(ScoreRow(a, b, 0).kld - ScoreRow(b, a, 0).kld), 0.1);
}

TEST(ScoreRows, OneModelTwiceHasADivergenceOfExactlyZero) {
  core::Random random(3);
  const std::vector<float> a = RandomRow(random, 1001, 5);
  const RowScore score = ScoreRow(a, a, 17);
  EXPECT_EQ(score.kld, 0);
  EXPECT_EQ(score.baseline_nll, score.candidate_nll);
  EXPECT_TRUE(score.same_top);
}

TEST(ScoreRows, ATieGoesToTheLowestId) {
  EXPECT_TRUE(ScoreRow({1, 4, 4, 0}, {1, 9, 2, 9}, 0).same_top);
  EXPECT_FALSE(ScoreRow({1, 4, 4, 0}, {1, 2, 9, 9}, 0).same_top);
}

TEST(ScoreRows, LogitsThatAreNotFiniteGiveScoresThatAreNotFinite) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float infinity = std::numeric_limits<float>::infinity();
  core::Random random(5);
  for (size_t at :
       {size_t{0}, size_t{5}, size_t{8}, size_t{9}}) {  // in whole vectors and in the tail
    for (float bad : {nan, infinity, -infinity}) {
      const std::vector<float> good = RandomRow(random, 10, 2);
      std::vector<float> broken = good;
      broken[at] = bad;
      const int32_t target = at == 3 ? 4 : 3;
      EXPECT_FALSE(std::isfinite(ScoreRow(broken, good, target).kld)) << at << " " << bad;
      EXPECT_FALSE(std::isfinite(ScoreRow(good, broken, target).kld)) << at << " " << bad;
    }
    std::vector<float> broken = RandomRow(random, 10, 2);
    broken[at] = nan;
    EXPECT_FALSE(std::isfinite(ScoreRow(broken, broken, 3).candidate_nll)) << at;
  }
}

TEST(ScoreRows, ThreadsDoNotChangeABit) {
  constexpr size_t kRows = 37;
  constexpr size_t kVocab = 1013;
  core::Random random(11);
  const std::vector<float> a = RandomRow(random, kRows * kVocab, 4);
  const std::vector<float> b = RandomRow(random, kRows * kVocab, 4);
  std::vector<int32_t> targets(kRows);
  for (auto& target : targets) target = static_cast<int32_t>(random.Below(kVocab));
  std::vector<RowScore> alone(kRows);
  std::vector<RowScore> together(kRows);
  core::ThreadPool one(1);
  core::ThreadPool four(4);
  ScoreRows(a, b, targets, one, alone);
  ScoreRows(a, b, targets, four, together);
  for (size_t i = 0; i < kRows; ++i) {
    EXPECT_EQ(alone[i].kld, together[i].kld);
    EXPECT_EQ(alone[i].baseline_nll, together[i].baseline_nll);
    EXPECT_EQ(alone[i].candidate_nll, together[i].candidate_nll);
  }
}

TEST(ScoreRows, ATargetOutsideTheVocabularyIsABug) {
  EXPECT_DEATH(ScoreRow({1, 2}, {1, 2}, 2), "target < vocab");
}

}  // namespace
}  // namespace octavo::eval
