// Two-sample statistics against hand-computed values, and the false-alarm rate and power of their
// permutation tests.
#include "stats/two_sample.h"

#include <cmath>

#include <gtest/gtest.h>

#include "core/random.h"
#include "core/thread_pool.h"
#include "stats/permutation.h"

namespace octavo::stats {
namespace {

TEST(KolmogorovSmirnov, IsTheLargestDistanceOfTheDistributionFunctions) {
  const std::vector<double> values = {1, 2, 3, 4, 5, 6};
  const std::vector<uint8_t> apart = {1, 1, 1, 0, 0, 0};
  const std::vector<uint8_t> mixed = {1, 0, 1, 0, 1, 0};
  const KolmogorovSmirnov ks(values);
  EXPECT_DOUBLE_EQ(ks(apart), 1);
  EXPECT_DOUBLE_EQ(ks(mixed), 1.0 / 3);
  // All of a tie is passed before the functions are compared.
  const KolmogorovSmirnov tied(std::vector<double>(6, 7.0));
  EXPECT_DOUBLE_EQ(tied(apart), 0);
}

TEST(ShareDistance, IsChiSquareOfOneHotRows) {
  // 2 x 2 table: 3 and 1 in the first group, 1 and 3 in the second; chi-square of the table is 2.
  const std::vector<double> rows = {1, 0, 1, 0, 1, 0, 0, 1, 1, 0, 0, 1, 0, 1, 0, 1};
  const std::vector<uint8_t> labels = {1, 1, 1, 1, 0, 0, 0, 0};
  // chi-square = n1 n2 / (n1 + n2) * distance.
  EXPECT_DOUBLE_EQ(ShareDistance(rows, 2)(labels) * 4 * 4 / 8, 2);
  const std::vector<double> with_empty_column = {1, 0, 0, 0};
  const std::vector<uint8_t> two = {1, 0};
  EXPECT_DOUBLE_EQ(ShareDistance(with_empty_column, 2)(two), 2);
}

TEST(LinearMmd, IsTheSquaredDistanceOfTheMeans) {
  const std::vector<SparseVector> members = {{{0, 2}, {1, 2}}, {{2}, {4}}, {{1}, {3}}};
  const std::vector<uint8_t> labels = {1, 1, 0};
  const LinearMmd mmd(members, 3);
  EXPECT_EQ(mmd.Difference(labels), (std::vector<double>{0.5, -3, 3}));
  EXPECT_DOUBLE_EQ(mmd(labels), 0.25 + 9 + 9);
}

TEST(EnergyDistance, EqualsItsDefinition) {
  core::Random random(1);
  constexpr int64_t kMembers = 23;
  constexpr int64_t kColumns = 3;
  std::vector<float> values(kMembers * kColumns);
  for (float& v : values) v = static_cast<float>(random.Normal());
  std::vector<uint8_t> labels(kMembers, 0);
  for (size_t i = 0; i < 9; ++i) labels[2 * i] = 1;
  double sum[2][2] = {};
  double count[2][2] = {};
  for (size_t i = 0; i < kMembers; ++i) {
    for (size_t j = 0; j < kMembers; ++j) {
      double squares = 0;
      for (size_t c = 0; c < kColumns; ++c)
        squares += std::pow(values[i * kColumns + c] - values[j * kColumns + c], 2);
      sum[labels[i]][labels[j]] += std::sqrt(squares);
      count[labels[i]][labels[j]] += 1;
    }
  }
  const double expected =
      2 * sum[0][1] / count[0][1] - sum[0][0] / count[0][0] - sum[1][1] / count[1][1];
  // Distances are kept in f32: relative error 2^-24 each, sums of magnitude about 3.
  EXPECT_NEAR(EnergyDistance(values, kColumns)(labels), expected, 1e-6);
}

TEST(TwoSample, GroupsThatDifferByRoundingOnlyAreEqual) {
  // 0.1 thirty times and 0.3 - 0.2 thirty times: means that differ in their last bits.
  std::vector<double> shares;
  std::vector<SparseVector> sparse;
  std::vector<float> dense;
  std::vector<uint8_t> labels;
  for (int i = 0; i < 60; ++i) {
    labels.push_back(i < 17 ? 1 : 0);
    shares.insert(shares.end(), {i < 17 ? 0.1 : 0.3 - 0.2, 0.9});
    sparse.push_back({{0, 1}, {0.1F, 0.7F}});
    dense.insert(dense.end(), {0.1F, 0.7F});
  }
  EXPECT_EQ(ShareDistance(shares, 2)(labels), 0);
  EXPECT_EQ(LinearMmd(sparse, 2)(labels), 0);
  EXPECT_EQ(EnergyDistance(dense, 2)(labels), 0);
}

// One pool of `count` members in two groups; the second is moved by `shift` in everything.
struct Pool {
  std::vector<double> values;
  std::vector<float> vectors;
  std::vector<double> shares;
  std::vector<uint8_t> labels;

  Pool(int64_t count, double shift, core::Random& random) {
    for (int64_t i = 0; i < count; ++i) {
      labels.push_back(i % 2 == 0 ? 1 : 0);
      const double moved = labels.back() == 0 ? shift : 0;
      values.push_back(random.Normal() + moved);
      for (int c = 0; c < 4; ++c) vectors.push_back(static_cast<float>(random.Normal() + moved));
      const double share = random.Uniform() < 0.1 + moved / 4 ? 1 : 0;
      shares.insert(shares.end(), {share, 1 - share});
    }
  }
  std::vector<PermutedTest> Run(int64_t permutations, uint64_t seed, core::ThreadPool& pool) const {
    const KolmogorovSmirnov ks(values);
    const EnergyDistance energy(vectors, 4);
    const ShareDistance share(shares, 2);
    const TwoSampleStatistic* tests[] = {&ks, &energy, &share};
    return MaxT(tests, labels, permutations, seed, pool);
  }
};

bool Rejects(const std::vector<PermutedTest>& results, double rate) {
  for (const PermutedTest& r : results)
    if (r.adjusted_p <= rate) return true;
  return false;
}

TEST(MaxT, FalseAlarmsOfAllTestsTogetherKeepTheRate) {
  core::Random random(3);
  core::ThreadPool pool(2);
  constexpr int kRuns = 400;
  int alarms = 0;
  for (int run = 0; run < kRuns; ++run) {
    alarms += Rejects(Pool(30, 0, random).Run(99, static_cast<uint64_t>(run), pool), 0.1) ? 1 : 0;
  }
  // 40 expected, at most; 40 + 3.5 deviations of the binomial (6) is passed once in 4,000. At the
  // other end the correction must not be wasteful: statistics with ties lose a little.
  EXPECT_LE(alarms, 61);
  EXPECT_GE(alarms, 20);
}

TEST(MaxT, FindsAShiftAndNamesOnlyTheTestThatSeesIt) {
  core::Random random(4);
  core::ThreadPool pool(2);
  Pool all(120, 2, random);
  const auto results = all.Run(999, 1, pool);
  for (const PermutedTest& r : results) EXPECT_LE(r.adjusted_p, 0.01);
  Pool none(120, 0, random);
  none.values = all.values;
  const auto one = none.Run(999, 1, pool);
  EXPECT_LE(one[0].adjusted_p, 0.01);
  EXPECT_GT(one[1].adjusted_p, 0.01);
  EXPECT_GT(one[2].adjusted_p, 0.01);
  for (const PermutedTest& r : one) EXPECT_GE(r.adjusted_p, r.p);
}

TEST(MaxT, AStatisticThatNeverVariesNeverRejects) {
  core::ThreadPool pool(1);
  const std::vector<double> constant(20, 3.0);
  std::vector<uint8_t> labels(20, 0);
  for (size_t i = 0; i < 10; ++i) labels[i] = 1;
  const KolmogorovSmirnov ks(constant);
  const TwoSampleStatistic* tests[] = {&ks};
  EXPECT_EQ(MaxT(tests, labels, 99, 1, pool)[0].adjusted_p, 1);
}

TEST(MaxT, DoesNotDependOnThreads) {
  core::Random random(5);
  const Pool members(40, 0.3, random);
  core::ThreadPool one(1);
  core::ThreadPool three(3);
  const auto a = members.Run(199, 7, one);
  const auto b = members.Run(199, 7, three);
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].adjusted_p, b[i].adjusted_p);
    EXPECT_EQ(a[i].statistic, b[i].statistic);
  }
}

}  // namespace
}  // namespace octavo::stats
