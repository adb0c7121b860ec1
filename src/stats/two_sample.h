// Statistics of how far two groups of one pool lie apart, for permutation tests: each is asked
// again and again with other labels on the same members.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace octavo::stats {

// labels[i] is 1 for members of the first group, 0 for the second; neither group is empty.
using Labels = std::span<const uint8_t>;

// Immutable and safe to call from many threads. Larger means farther apart; groups that are equal
// in exact arithmetic give 0, not what rounding leaves, because only the true labelling has its
// members in order, and rounding is not exchangeable.
class TwoSampleStatistic {
 public:
  virtual ~TwoSampleStatistic() = default;
  virtual double operator()(Labels labels) const = 0;
};

// Kolmogorov and Smirnov: the largest distance between the two distribution functions, in [0, 1].
// Exact with ties. `values` has one number a member, none NaN. O(pool) a call.
class KolmogorovSmirnov final : public TwoSampleStatistic {
 public:
  explicit KolmogorovSmirnov(std::span<const double> values);
  double operator()(Labels labels) const override;

 private:
  std::vector<int64_t> order_;     // members by value
  std::vector<uint8_t> last_tie_;  // of each place in order_: the next value is another
};

// Pearson's chi-square between the two groups' mean profiles. `shares` is [members, columns],
// row-major, not negative, e.g. what part of a prompt is of which script; a column that is 0
// everywhere counts nothing:
//   sum over columns of (mean of first - mean of second)^2 / mean of all
// With one-hot rows (binned values) it is chi-square of the 2 x columns table, up to a factor.
// O(pool x columns) a call.
class ShareDistance final : public TwoSampleStatistic {
 public:
  ShareDistance(std::span<const double> shares, int64_t columns);
  double operator()(Labels labels) const override;

 private:
  std::vector<double> shares_;
  std::vector<double> inverse_mean_;  // of each column; 0 where all is 0
};

// One member's non-zero coordinates.
struct SparseVector {
  std::vector<int32_t> index;  // ascending
  std::vector<float> value;
};

// Squared maximum mean discrepancy with the linear kernel (Gretton et al., JMLR 2012, eq. 5,
// biased): the squared Euclidean distance of the groups' mean vectors. For token counts, give it
// unit vectors of their square roots (Hellinger's embedding). O(non-zeros + dimensions) a call.
class LinearMmd final : public TwoSampleStatistic {
 public:
  LinearMmd(std::span<const SparseVector> members, int64_t dimensions);
  double operator()(Labels labels) const override;
  // Mean of the first group minus that of the second, by coordinate.
  std::vector<double> Difference(Labels labels) const;

 private:
  int64_t dimensions_;
  double scale_ = 0;  // mean squared length
  std::vector<int64_t> offsets_;
  std::vector<int32_t> index_;
  std::vector<float> value_;
};

// Energy distance (Szekely and Rizzo, J. Stat. Plan. Inference 2013): 2 E|X - Y| - E|X - X'| -
// E|Y - Y'| over dense vectors, Euclidean; 0 only for equal distributions, without a kernel width
// to choose. `values` is [members, columns], row-major. Keeps the distances of all pairs:
// 4 members^2 bytes. O(first group x pool) a call.
class EnergyDistance final : public TwoSampleStatistic {
 public:
  EnergyDistance(std::span<const float> values, int64_t columns);
  double operator()(Labels labels) const override;

 private:
  int64_t members_;
  std::vector<float> distance_;  // [members, members]
  std::vector<double> row_sum_;  // of distance_
  double total_ = 0;
};

}  // namespace octavo::stats
