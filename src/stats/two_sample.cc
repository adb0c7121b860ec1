#include "stats/two_sample.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/check.h"

namespace octavo::stats {
namespace {

// Relative to what is summed: above the rounding of sums of a million doubles, below any difference
// that matters.
constexpr double kRounding = 1e-9;

size_t At(int64_t i) {
  return static_cast<size_t>(i);
}

double CountFirst(Labels labels) {
  return static_cast<double>(std::accumulate(labels.begin(), labels.end(), int64_t{0}));
}

}  // namespace

KolmogorovSmirnov::KolmogorovSmirnov(std::span<const double> values)
    : order_(values.size()), last_tie_(values.size(), 1) {
  std::iota(order_.begin(), order_.end(), 0);
  std::sort(order_.begin(), order_.end(),
            [&](int64_t a, int64_t b) { return values[At(a)] < values[At(b)]; });
  for (size_t i = 0; i + 1 < order_.size(); ++i) {
    last_tie_[i] = values[At(order_[i])] != values[At(order_[i + 1])] ? 1 : 0;
  }
}

double KolmogorovSmirnov::operator()(Labels labels) const {
  OCTAVO_CHECK(labels.size() == order_.size());
  const double first = CountFirst(labels);
  const double second = static_cast<double>(labels.size()) - first;
  int64_t first_below = 0;
  double largest = 0;
  for (size_t i = 0; i < order_.size(); ++i) {
    first_below += labels[At(order_[i])];
    if (last_tie_[i] == 0) continue;
    const double second_below = static_cast<double>(i + 1) - static_cast<double>(first_below);
    largest = std::max(largest,
                       std::abs(static_cast<double>(first_below) / first - second_below / second));
  }
  return largest;
}

ShareDistance::ShareDistance(std::span<const double> shares, int64_t columns)
    : shares_(shares.begin(), shares.end()), inverse_mean_(At(columns), 0) {
  OCTAVO_CHECK(columns > 0 && shares.size() % At(columns) == 0);
  const double members = static_cast<double>(shares.size() / At(columns));
  for (size_t i = 0; i < shares_.size(); ++i) inverse_mean_[i % At(columns)] += shares_[i];
  for (double& sum : inverse_mean_) sum = sum > 0 ? members / sum : 0;
}

double ShareDistance::operator()(Labels labels) const {
  const size_t columns = inverse_mean_.size();
  OCTAVO_CHECK(labels.size() * columns == shares_.size());
  const double first = CountFirst(labels);
  const double weight[2] = {-1 / (static_cast<double>(labels.size()) - first), 1 / first};
  std::vector<double> difference(columns, 0);
  for (size_t i = 0; i < labels.size(); ++i) {
    const double w = weight[labels[i]];
    for (size_t c = 0; c < columns; ++c) difference[c] += w * shares_[i * columns + c];
  }
  double sum = 0;
  for (size_t c = 0; c < columns; ++c) {
    if (std::abs(difference[c]) * inverse_mean_[c] > kRounding)
      sum += difference[c] * difference[c] * inverse_mean_[c];
  }
  return sum;
}

LinearMmd::LinearMmd(std::span<const SparseVector> members, int64_t dimensions)
    : dimensions_(dimensions), offsets_{0} {
  for (const SparseVector& member : members) {
    OCTAVO_CHECK(member.index.size() == member.value.size());
    for (const int32_t index : member.index) OCTAVO_CHECK(index >= 0 && index < dimensions);
    index_.insert(index_.end(), member.index.begin(), member.index.end());
    value_.insert(value_.end(), member.value.begin(), member.value.end());
    for (const float v : member.value) scale_ += static_cast<double>(v) * static_cast<double>(v);
    offsets_.push_back(static_cast<int64_t>(index_.size()));
  }
  if (!members.empty()) scale_ /= static_cast<double>(members.size());
}

std::vector<double> LinearMmd::Difference(Labels labels) const {
  OCTAVO_CHECK(labels.size() + 1 == offsets_.size());
  const double first = CountFirst(labels);
  const double weight[2] = {-1 / (static_cast<double>(labels.size()) - first), 1 / first};
  std::vector<double> difference(At(dimensions_), 0);
  for (size_t i = 0; i < labels.size(); ++i) {
    const double w = weight[labels[i]];
    for (size_t at = At(offsets_[i]); at < At(offsets_[i + 1]); ++at)
      difference[static_cast<size_t>(index_[at])] += w * static_cast<double>(value_[at]);
  }
  return difference;
}

double LinearMmd::operator()(Labels labels) const {
  double sum = 0;
  for (const double d : Difference(labels)) sum += d * d;
  return sum > kRounding * kRounding * scale_ ? sum : 0;
}

EnergyDistance::EnergyDistance(std::span<const float> values, int64_t columns)
    : members_(static_cast<int64_t>(values.size()) / columns),
      distance_(At(members_ * members_), 0),
      row_sum_(At(members_), 0) {
  OCTAVO_CHECK(columns > 0 && values.size() % At(columns) == 0);
  for (int64_t i = 0; i < members_; ++i) {
    for (int64_t j = 0; j < i; ++j) {
      double squares = 0;
      for (int64_t c = 0; c < columns; ++c) {
        const double d = static_cast<double>(values[At(i * columns + c)]) -
                         static_cast<double>(values[At(j * columns + c)]);
        squares += d * d;
      }
      const auto distance = static_cast<float>(std::sqrt(squares));
      distance_[At(i * members_ + j)] = distance;
      distance_[At(j * members_ + i)] = distance;
    }
  }
  for (int64_t i = 0; i < members_; ++i) {
    for (int64_t j = 0; j < members_; ++j)
      row_sum_[At(i)] += static_cast<double>(distance_[At(i * members_ + j)]);
    total_ += row_sum_[At(i)];
  }
}

double EnergyDistance::operator()(Labels labels) const {
  OCTAVO_CHECK(static_cast<int64_t>(labels.size()) == members_);
  const double first = CountFirst(labels);
  const double second = static_cast<double>(members_) - first;
  std::vector<int64_t> chosen;
  for (int64_t i = 0; i < members_; ++i) {
    if (labels[At(i)] != 0) chosen.push_back(i);
  }
  // Sums over pairs: within the first group, from it to all, and what follows from the total.
  double within_first = 0;
  double from_first = 0;
  for (const int64_t i : chosen) {
    from_first += row_sum_[At(i)];
    const float* const row = distance_.data() + i * members_;
    double sum = 0;
    for (const int64_t j : chosen) sum += static_cast<double>(row[j]);
    within_first += sum;
  }
  const double between = from_first - within_first;
  const double within_second = total_ - 2 * between - within_first;
  const double energy = 2 * between / (first * second) - within_first / (first * first) -
                        within_second / (second * second);
  const double mean = total_ / (static_cast<double>(members_) * static_cast<double>(members_));
  return energy > kRounding * mean ? energy : 0;
}

}  // namespace octavo::stats
