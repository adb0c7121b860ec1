#include "stats/permutation.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "core/check.h"
#include "core/random.h"

namespace octavo::stats {
namespace {

// Every labelling has a generator of its own, so that threads may take them in any order.
constexpr uint64_t kSeedStep = 0x9e3779b97f4a7c15;

// Sums of the same numbers in another order differ in their last bits; statistics that are equal in
// exact arithmetic must count as ties.
constexpr double kTie = 1e-9;

void Permute(std::vector<uint8_t>& labels, uint64_t seed) {
  core::Random random(seed);
  for (size_t i = labels.size(); i > 1; --i) std::swap(labels[i - 1], labels[random.Below(i)]);
}

// [labelling, test], the true labelling first: square roots of the statistics.
std::vector<double> Evaluate(std::span<const TwoSampleStatistic* const> tests, Labels labels,
                             int64_t permutations, uint64_t seed, core::ThreadPool& pool) {
  const size_t count = tests.size();
  std::vector<double> values(static_cast<size_t>(permutations + 1) * count);
  pool.ParallelFor(permutations + 1, 1, [&](int64_t begin, int64_t end) {
    std::vector<uint8_t> permuted;
    for (int64_t b = begin; b < end; ++b) {
      permuted.assign(labels.begin(), labels.end());
      if (b > 0) Permute(permuted, seed + kSeedStep * static_cast<uint64_t>(b));
      for (size_t t = 0; t < count; ++t) {
        values[static_cast<size_t>(b) * count + t] =
            std::sqrt(std::max(0.0, (*tests[t])(permuted)));
      }
    }
  });
  return values;
}

// Centres and scales each test's column; one that never varies becomes 0.
void Standardize(std::vector<double>& values, size_t count) {
  const auto rows = static_cast<double>(values.size() / count);
  for (size_t t = 0; t < count; ++t) {
    double sum = 0;
    for (size_t i = t; i < values.size(); i += count) sum += values[i];
    const double mean = sum / rows;
    double squares = 0;
    for (size_t i = t; i < values.size(); i += count)
      squares += (values[i] - mean) * (values[i] - mean);
    const double deviation = std::sqrt(squares / rows);
    const bool varies = deviation > kTie * (std::abs(mean) + kTie);
    for (size_t i = t; i < values.size(); i += count)
      values[i] = varies ? (values[i] - mean) / deviation : 0;
  }
}

}  // namespace

std::vector<PermutedTest> MaxT(std::span<const TwoSampleStatistic* const> tests, Labels labels,
                               int64_t permutations, uint64_t seed, core::ThreadPool& pool) {
  OCTAVO_CHECK(permutations > 0 && !tests.empty());
  const auto ones = std::count(labels.begin(), labels.end(), 1);
  OCTAVO_CHECK(ones > 0 && ones < static_cast<std::ptrdiff_t>(labels.size()));
  const size_t count = tests.size();
  std::vector<double> values = Evaluate(tests, labels, permutations, seed, pool);
  Standardize(values, count);
  const size_t rows = values.size() / count;
  const auto share = [&](int64_t rows_at_least) {
    return static_cast<double>(rows_at_least) / static_cast<double>(rows);
  };
  std::vector<PermutedTest> out(count);
  std::vector<size_t> order(count);
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return values[a] < values[b]; });
  // From the weakest test up, so that `largest` of each labelling is over it and those below it.
  std::vector<double> largest(rows, -std::numeric_limits<double>::infinity());
  for (const size_t t : order) {
    const double mine = values[t] - kTie;
    int64_t alone = 0;
    int64_t together = 0;
    for (size_t b = 0; b < rows; ++b) {
      largest[b] = std::max(largest[b], values[b * count + t]);
      alone += values[b * count + t] >= mine ? 1 : 0;
      together += largest[b] >= mine ? 1 : 0;
    }
    out[t] = {(*tests[t])(labels), share(alone), share(together)};
  }
  // A test is rejected only where all stronger ones are.
  for (size_t i = count - 1; i-- > 0;) {
    out[order[i]].adjusted_p = std::max(out[order[i]].adjusted_p, out[order[i + 1]].adjusted_p);
  }
  return out;
}

}  // namespace octavo::stats
