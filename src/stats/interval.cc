// The arithmetic of clustered t intervals.
#include "stats/interval.h"

#include <cmath>

#include "core/check.h"
#include "stats/student_t.h"

namespace octavo::stats {

void ClusterMean::Add(double sum, int64_t count) {
  OCTAVO_CHECK(count > 0);
  sums_.push_back(sum);
  counts_.push_back(count);
  samples_ += count;
}

Estimate ClusterMean::Mean(double confidence) const {
  OCTAVO_CHECK(clusters() > 0 && confidence > 0 && confidence < 1);
  double total = 0;
  for (double sum : sums_) total += sum;
  const double samples = static_cast<double>(samples_);
  Estimate estimate{total / samples, std::nullopt, clusters()};
  if (clusters() < 2) return estimate;

  double residual_squares = 0;
  for (size_t i = 0; i < sums_.size(); ++i) {
    const double residual = sums_[i] - estimate.value * static_cast<double>(counts_[i]);
    residual_squares += residual * residual;
  }
  const double m = static_cast<double>(clusters());
  const double standard_error = std::sqrt(m / (m - 1) * residual_squares) / samples;
  const double half_width = StudentTQuantile((1 + confidence) / 2, m - 1) * standard_error;
  estimate.interval = Interval{estimate.value - half_width, estimate.value + half_width};
  return estimate;
}

Estimate Exp(const Estimate& log_estimate) {
  Estimate estimate = log_estimate;
  estimate.value = std::exp(log_estimate.value);
  if (log_estimate.interval) {
    estimate.interval =
        Interval{std::exp(log_estimate.interval->lower), std::exp(log_estimate.interval->upper)};
  }
  return estimate;
}

Interval AtConfidence(double value, const Interval& interval, double from, double to,
                      int64_t clusters) {
  OCTAVO_CHECK(clusters >= 2 && from > 0 && from < 1 && to > 0 && to < 1);
  if (from == to) return interval;
  const double degrees = static_cast<double>(clusters - 1);
  const double stretch =
      StudentTQuantile((1 + to) / 2, degrees) / StudentTQuantile((1 + from) / 2, degrees);
  return {value - (value - interval.lower) * stretch, value + (interval.upper - value) * stretch};
}

}  // namespace octavo::stats
