// Observers: what the input of a linear layer looks like, and the scales that follow from it.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/result.h"
#include "core/thread_pool.h"

namespace octavo::compress {

// Counts of |x| in bins of equal width, a power of two. When something larger comes, pairs of bins
// are joined, so the result depends only on the values, never on their order or on how they were
// cut into batches, threads or shards: the same bins as if the width had been right from the
// beginning.
class MagnitudeHistogram {
 public:
  static constexpr int64_t kBins = 2048;

  // Bin i counts i * width <= |x| < (i + 1) * width, width = 2^exponent.
  const std::vector<int64_t>& bins() const { return bins_; }
  int exponent() const { return exponent_; }
  double width() const;
  int64_t count() const;

  // Makes room for `absmax`, which is finite.
  void Widen(float absmax);
  // Counts values below kBins * width. Thread-safe between calls of Widen.
  void Add(std::span<const float> values);
  void Merge(const MagnitudeHistogram& other);
  // From a file: kBins counts, not negative, and an exponent that Widen can give.
  static core::Result<MagnitudeHistogram> Make(std::vector<int64_t> bins, int exponent);

 private:
  void WidenTo(int exponent);
  // The least width that every finite f32 may be divided by without overflow.
  static constexpr int kLeastExponent = -126;
  std::vector<int64_t> bins_ = std::vector<int64_t>(kBins, 0);
  int exponent_ = kLeastExponent;
};

// Where symmetric 8-bit codes (up to 127) of the observed values should end. All give a positive
// number at most `absmax`, or 1 when all values are 0.
// The bound of the share `q` in (0, 1] of the values: 0.9999 clips one in ten thousand.
float PercentileClip(const MagnitudeHistogram& histogram, float absmax, double q);
// The one of 128 candidates, evenly spaced down from absmax, whose rounding and clipping have the
// least mean squared error over the histogram.
float MseClip(const MagnitudeHistogram& histogram, float absmax);
// The one whose 128 levels keep the distribution best: least KL divergence (Migacz, "8-bit
// inference with TensorRT", GTC 2017).
float EntropyClip(const MagnitudeHistogram& histogram, float absmax);

// One input: of one linear layer, or of several that share it.
struct InputRanges {
  std::vector<std::string> modules;  // that read it; the first names it
  int64_t rows = 0;                  // tokens seen
  float min = 0;
  float max = 0;
  std::vector<float> channel_absmax;  // [K]
  MagnitudeHistogram magnitudes;

  float absmax() const;
  // x: [rows, K] f32. A value that is not finite is an Error that names the module.
  core::Status Observe(const float* x, int64_t count, core::ThreadPool& pool);
  // `other` has the same modules and K.
  void Merge(const InputRanges& other);
};

}  // namespace octavo::compress
