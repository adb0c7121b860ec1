// Sample quantiles and medians.
#pragma once

#include <span>

namespace octavo::stats {

// The q-quantile, q in [0, 1], of a sample that is not empty, by linear interpolation between order
// statistics (type 7 of Hyndman and Fan 1996, the default of NumPy and R). Reorders `sample`;
// linear time. No NaN.
double Quantile(std::span<double> sample, double q);

inline double Median(std::span<double> sample) {
  return Quantile(sample, 0.5);
}

}  // namespace octavo::stats
