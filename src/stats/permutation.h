// Several two-sample tests at once by permuting the labels, with one false-alarm rate for all.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/thread_pool.h"
#include "stats/two_sample.h"

namespace octavo::stats {

struct PermutedTest {
  double statistic = 0;   // with the true labels
  double p = 1;           // of this test alone
  double adjusted_p = 1;  // corrected for all tests: reject where it is at most the rate
};

// Max-T permutation test, step-down (Westfall and Young, Resampling-Based Multiple Testing, 1993,
// algorithm 2.8 with statistics in place of p-values). Under the hypothesis that all members are
// exchangeable, i.e. drawn from one distribution whatever their group, the chance that any
// adjusted_p is at most `a` is at most `a`, for samples of any size and any dependence among the
// tests. Each statistic is centred and scaled by its own mean and deviation over all labellings,
// the true one included, so that tests of different units weigh alike; the square root is taken
// first, which makes squared distances less skew. Needs `permutations` of at least 1/a - 1 to be
// able to reject at a. The same seed gives the same result for any number of threads. Both groups
// have at least one member.
std::vector<PermutedTest> MaxT(std::span<const TwoSampleStatistic* const> tests, Labels labels,
                               int64_t permutations, uint64_t seed, core::ThreadPool& pool);

}  // namespace octavo::stats
