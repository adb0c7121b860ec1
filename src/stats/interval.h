// Interval estimates of means over clustered samples: tokens of one window depend on each other,
// windows much less, so the window is the unit that is counted.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace octavo::stats {

struct Interval {
  double lower = 0;
  double upper = 0;
};

struct Estimate {
  double value = 0;
  std::optional<Interval>
      interval;  // none from fewer than two clusters: they say nothing about their spread
  int64_t clusters = 0;
};

// The mean of a per-token quantity over windows. For a paired comparison the quantity is the
// difference of candidate and baseline on the same token, which cancels what makes one window
// harder than another.
//
// The interval is Student's t around the ratio estimator sum/count, with the linearised variance
//   m / (m - 1) * sum_i (sum_i - mean * count_i)^2 / (sum_i count_i)^2,   m - 1 degrees of freedom
// (W. G. Cochran, Sampling Techniques, 3rd ed. 1977, sections 2.11 and 9.6; with windows of one
// size it is the ordinary t interval of the window means). Chosen over a bootstrap because it needs
// no random numbers, is exact for normal window means, and with the 10 to 100 windows of a run the
// percentile bootstrap is too narrow by about sqrt((m - 1) / m) while BCa costs thousands of
// resamples to give nearly the same ends. Not thread-safe.
class ClusterMean {
 public:
  // One cluster: the sum of the quantity over its `count` > 0 samples.
  void Add(double sum, int64_t count);
  int64_t clusters() const { return static_cast<int64_t>(sums_.size()); }
  int64_t samples() const { return samples_; }
  // Two-sided interval at `confidence` in (0, 1); its upper end alone is a one-sided bound at (1 +
  // confidence) / 2. At least one cluster.
  Estimate Mean(double confidence) const;

 private:
  std::vector<double> sums_;
  std::vector<int64_t> counts_;
  int64_t samples_ = 0;
};

// exp of value and ends: what a mean log ratio says about the ratio. exp is monotone, so the
// coverage is unchanged.
Estimate Exp(const Estimate& log_estimate);

// The same t interval at another confidence: both half-widths are stretched by the ratio of the t
// quantiles. At least two clusters; both confidences in (0, 1).
Interval AtConfidence(double value, const Interval& interval, double from, double to,
                      int64_t clusters);

}  // namespace octavo::stats
