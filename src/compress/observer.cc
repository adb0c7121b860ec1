#include "compress/observer.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <mutex>
#include <numeric>

#include <fmt/format.h>

#include "core/check.h"

namespace octavo::compress {
namespace {

constexpr int kLevels = 127;
constexpr int64_t kCandidates = 128;

// Channels that one thread looks at together: a few cache lines of each row.
constexpr int64_t kChannelsPerPiece = 128;
// Values that one thread counts before it adds to the common counts.
constexpr int64_t kValuesPerPiece = int64_t{1} << 16;

size_t At(int64_t i) {
  return static_cast<size_t>(i);
}

// The counts of each thread's piece, joined; integers, so the order does not matter.
std::mutex& CountsMutex() {
  static std::mutex mutex;
  return mutex;
}

// Bins that hold something, from 0: the index of the last one + 1.
int64_t UsedBins(const std::vector<int64_t>& bins) {
  int64_t used = static_cast<int64_t>(bins.size());
  while (used > 0 && bins[At(used - 1)] == 0) --used;
  return used;
}

// Sum over bins of count * squared error when values end at `clip` (in bins). A bin is taken to lie
// at its middle; its own spread is the same for every candidate.
double SquaredError(const std::vector<int64_t>& bins, int64_t used, double clip) {
  const double step = clip / kLevels;
  double sum = 0;
  for (int64_t i = 0; i < used; ++i) {
    const double value = static_cast<double>(i) + 0.5;
    const double code = std::min(std::nearbyint(value / step), double{kLevels});
    const double error = value - code * step;
    sum += static_cast<double>(bins[At(i)]) * error * error;
  }
  return sum;
}

// KL(P || Q) when values end behind bin `end`: P has the clipped values in its last bin; Q spreads
// the values of each of the 128 levels evenly over those of its bins that are not empty.
double KlDivergence(const std::vector<int64_t>& bins, int64_t used, int64_t end) {
  const int64_t levels = kLevels + 1;
  const int64_t clipped = std::accumulate(bins.begin() + end, bins.begin() + used, int64_t{0});
  double total_p = 0;
  double total_q = 0;
  for (int64_t i = 0; i < end; ++i) total_q += static_cast<double>(bins[At(i)]);
  total_p = total_q + static_cast<double>(clipped);
  if (total_q == 0) return std::numeric_limits<double>::infinity();
  double divergence = 0;
  for (int64_t level = 0; level < levels; ++level) {
    const int64_t first = level * end / levels;
    const int64_t last = (level + 1) * end / levels;
    double sum = 0;
    int64_t filled = 0;
    for (int64_t i = first; i < last; ++i) {
      sum += static_cast<double>(bins[At(i)]);
      filled += bins[At(i)] > 0 ? 1 : 0;
    }
    for (int64_t i = first; i < last; ++i) {
      const int64_t count = bins[At(i)] + (i == end - 1 ? clipped : 0);
      if (count == 0) continue;
      const double p = static_cast<double>(count) / total_p;
      // The last bin may hold clipped values only; then Q has next to nothing where P has much.
      const double q = bins[At(i)] > 0 ? sum / static_cast<double>(filled) / total_q : 1e-9;
      divergence += p * std::log(p / q);
    }
  }
  return divergence;
}

}  // namespace

double MagnitudeHistogram::width() const {
  return std::ldexp(1.0, exponent_);
}

int64_t MagnitudeHistogram::count() const {
  return std::accumulate(bins_.begin(), bins_.end(), int64_t{0});
}

void MagnitudeHistogram::WidenTo(int exponent) {
  if (exponent <= exponent_) return;
  const int shift = std::min(exponent - exponent_, 62);
  std::vector<int64_t> joined(kBins, 0);
  for (int64_t i = 0; i < kBins; ++i) joined[At(i >> shift)] += bins_[At(i)];
  bins_ = std::move(joined);
  exponent_ = exponent;
}

void MagnitudeHistogram::Widen(float absmax) {
  OCTAVO_CHECK(std::isfinite(absmax));
  // absmax / 2^exponent in [kBins / 2, kBins).
  if (absmax > 0) WidenTo(std::ilogb(absmax) - 10);
}

void MagnitudeHistogram::Add(std::span<const float> values) {
  const auto scale = static_cast<float>(std::ldexp(1.0, -exponent_));
  // Four tables: equal values one after the other do not wait for each other's counter.
  std::array<std::array<uint32_t, kBins>, 4> counts{};
  constexpr size_t kBlock = 64;
  std::array<int32_t, kBlock> index;
  size_t i = 0;
  for (; i + kBlock <= values.size(); i += kBlock) {
    for (size_t j = 0; j < kBlock; ++j)
      index[j] = static_cast<int32_t>(std::abs(values[i + j]) * scale);
    for (size_t j = 0; j < kBlock; j += 4) {
      ++counts[0][static_cast<size_t>(index[j])];
      ++counts[1][static_cast<size_t>(index[j + 1])];
      ++counts[2][static_cast<size_t>(index[j + 2])];
      ++counts[3][static_cast<size_t>(index[j + 3])];
    }
  }
  for (; i < values.size(); ++i) ++counts[0][static_cast<size_t>(std::abs(values[i]) * scale)];
  const std::lock_guard lock(CountsMutex());
  for (size_t b = 0; b < static_cast<size_t>(kBins); ++b) {
    bins_[b] += int64_t{counts[0][b]} + int64_t{counts[1][b]} + int64_t{counts[2][b]} +
                int64_t{counts[3][b]};
  }
}

void MagnitudeHistogram::Merge(const MagnitudeHistogram& other) {
  MagnitudeHistogram theirs = other;
  WidenTo(theirs.exponent_);
  theirs.WidenTo(exponent_);
  for (int64_t i = 0; i < kBins; ++i) bins_[At(i)] += theirs.bins_[At(i)];
}

core::Result<MagnitudeHistogram> MagnitudeHistogram::Make(std::vector<int64_t> bins, int exponent) {
  if (static_cast<int64_t>(bins.size()) != kBins || exponent < kLeastExponent || exponent > 117) {
    return core::Invalid(
        fmt::format("a histogram of {} bins of width 2^{}, expected {} of 2^{} to "
                    "2^117",
                    bins.size(), exponent, kBins, kLeastExponent));
  }
  int64_t sum = 0;
  for (const int64_t count : bins) {
    if (count < 0 || __builtin_add_overflow(sum, count, &sum))
      return core::Invalid("a histogram with a count that is negative or too large");
  }
  MagnitudeHistogram out;
  out.bins_ = std::move(bins);
  out.exponent_ = exponent;
  return out;
}

float PercentileClip(const MagnitudeHistogram& histogram, float absmax, double q) {
  if (absmax == 0) return 1;
  const double wanted = q * static_cast<double>(histogram.count());
  double seen = 0;
  for (int64_t i = 0; i < MagnitudeHistogram::kBins; ++i) {
    seen += static_cast<double>(histogram.bins()[At(i)]);
    if (seen >= wanted)
      return std::min(absmax, static_cast<float>(static_cast<double>(i + 1) * histogram.width()));
  }
  return absmax;
}

float MseClip(const MagnitudeHistogram& histogram, float absmax) {
  if (absmax == 0) return 1;
  const int64_t used = UsedBins(histogram.bins());
  const double whole = static_cast<double>(absmax) / histogram.width();
  double best = whole;
  double least = std::numeric_limits<double>::infinity();
  for (int64_t i = 0; i < kCandidates; ++i) {
    const double clip =
        whole * static_cast<double>(kCandidates - i) / static_cast<double>(kCandidates);
    const double error = SquaredError(histogram.bins(), used, clip);
    if (error < least) least = error, best = clip;
  }
  return best == whole ? absmax : static_cast<float>(best * histogram.width());
}

float EntropyClip(const MagnitudeHistogram& histogram, float absmax) {
  if (absmax == 0) return 1;
  const int64_t used = UsedBins(histogram.bins());
  int64_t best = used;
  double least = std::numeric_limits<double>::infinity();
  // From the whole range down, so that of equals the widest wins; a level has a bin at least.
  for (int64_t end = used; end > kLevels; end -= 8) {
    const double divergence = KlDivergence(histogram.bins(), used, end);
    if (divergence < least) least = divergence, best = end;
  }
  return std::min(absmax, static_cast<float>(static_cast<double>(best) * histogram.width()));
}

float InputRanges::absmax() const {
  return std::max(std::abs(min), std::abs(max));
}

core::Status InputRanges::Observe(const float* x, int64_t count, core::ThreadPool& pool) {
  if (count == 0) return {};
  const auto k = static_cast<int64_t>(channel_absmax.size());
  const int64_t pieces = (k + kChannelsPerPiece - 1) / kChannelsPerPiece;
  std::vector<float> least(At(pieces));
  std::vector<float> most(At(pieces));
  std::vector<uint8_t> finite(At(pieces), 0);
  pool.ParallelFor(pieces, 1, [&](int64_t begin, int64_t end) {
    for (int64_t piece = begin; piece < end; ++piece) {
      const int64_t first = piece * kChannelsPerPiece;
      const int64_t width = std::min(kChannelsPerPiece, k - first);
      std::array<float, kChannelsPerPiece> low{};
      std::array<float, kChannelsPerPiece> high{};
      std::array<float, kChannelsPerPiece> poison{};  // x * 0: 0, or NaN when x is not finite
      for (int64_t row = 0; row < count; ++row) {
        const float* const in = x + row * k + first;
        for (int64_t c = 0; c < width; ++c) {
          low[At(c)] = in[c] < low[At(c)] ? in[c] : low[At(c)];
          high[At(c)] = in[c] > high[At(c)] ? in[c] : high[At(c)];
          poison[At(c)] += in[c] * 0.0F;
        }
      }
      for (int64_t c = 0; c < width; ++c) {
        channel_absmax[At(first + c)] =
            std::max({channel_absmax[At(first + c)], -low[At(c)], high[At(c)]});
      }
      least[At(piece)] = *std::min_element(low.begin(), low.end());
      most[At(piece)] = *std::max_element(high.begin(), high.end());
      finite[At(piece)] =
          std::none_of(poison.begin(), poison.end(), [](float p) { return std::isnan(p); }) ? 1 : 0;
    }
  });
  if (std::count(finite.begin(), finite.end(), 1) != pieces) {
    return core::Invalid(fmt::format(
        "the input of {} has values that are not finite numbers: its weights are damaged or out of "
        "range",
        modules.front()));
  }
  // 0 is in the range from the beginning: a symmetric scale does not ask where values begin.
  min = std::min(min, *std::min_element(least.begin(), least.end()));
  max = std::max(max, *std::max_element(most.begin(), most.end()));
  magnitudes.Widen(absmax());
  const int64_t values = count * k;
  pool.ParallelFor((values + kValuesPerPiece - 1) / kValuesPerPiece, 1,
                   [&](int64_t begin, int64_t end) {
                     const int64_t first = begin * kValuesPerPiece;
                     const int64_t last = std::min(end * kValuesPerPiece, values);
                     magnitudes.Add({x + first, At(last - first)});
                   });
  rows += count;
  return {};
}

void InputRanges::Merge(const InputRanges& other) {
  OCTAVO_CHECK(modules == other.modules && channel_absmax.size() == other.channel_absmax.size());
  rows += other.rows;
  min = std::min(min, other.min);
  max = std::max(max, other.max);
  for (size_t c = 0; c < channel_absmax.size(); ++c)
    channel_absmax[c] = std::max(channel_absmax[c], other.channel_absmax[c]);
  magnitudes.Merge(other.magnitudes);
}

}  // namespace octavo::compress
