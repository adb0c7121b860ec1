// Quantiles by selection instead of a full sort.
#include "stats/quantile.h"

#include <algorithm>
#include <cmath>

#include "core/check.h"

namespace octavo::stats {

double Quantile(std::span<double> sample, double q) {
  OCTAVO_CHECK(!sample.empty() && q >= 0 && q <= 1);
  const double position = q * static_cast<double>(sample.size() - 1);
  const auto below = static_cast<std::ptrdiff_t>(std::floor(position));
  const auto at = sample.begin() + below;
  std::nth_element(sample.begin(), at, sample.end());
  const double fraction = position - static_cast<double>(below);
  if (fraction == 0) return *at;
  // After the selection everything behind `at` is at least as large, so the next order statistic is
  // its minimum.
  const double next = *std::min_element(at + 1, sample.end());
  return *at + fraction * (next - *at);
}

}  // namespace octavo::stats
