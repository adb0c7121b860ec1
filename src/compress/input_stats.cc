#include "compress/input_stats.h"

#include <algorithm>
#include <cmath>

namespace octavo::compress {
namespace {
constexpr int64_t kSampledRowsPerPass = 16;
constexpr int64_t kMostSampledRows = 1024;
}  // namespace

std::vector<float> InputStats::AbsMean() const {
  std::vector<float> out;
  out.reserve(abs_sum.size());
  for (const double sum : abs_sum)
    out.push_back(static_cast<float>(sum / static_cast<double>(std::max<int64_t>(rows, 1))));
  return out;
}

std::vector<float> InputStats::AllSampled() const {
  std::vector<float> out = first_rows;
  out.insert(out.end(), sample.begin(), sample.end());
  return out;
}

void InputStats::Divide(std::span<const float> factors) {
  for (size_t i = 0; i < factors.size(); ++i) {
    absmax[i] /= factors[i];
    abs_sum[i] /= static_cast<double>(factors[i]);
  }
  for (std::vector<float>* rows_of : {&sample, &first_rows}) {
    for (size_t i = 0; i < rows_of->size(); ++i) (*rows_of)[i] /= factors[i % factors.size()];
  }
  if (moments) moments->DivideInputs(factors);
}

model::Tap StatsCollector::tap() {
  return [this](int64_t, std::span<const model::Linear* const> linears, const float* input,
                int64_t rows) {
    Add(of(FusedGroupOf(linears[0]->name())), input, rows, linears[0]->k());
  };
}

void StatsCollector::Add(InputStats& stats, const float* x, int64_t rows, int64_t k) {
  const auto channels = static_cast<size_t>(k);
  stats.absmax.resize(channels, 0.0F);
  stats.abs_sum.resize(channels, 0.0);
  if (moments_ && !stats.moments) stats.moments = std::make_unique<quant::SecondMoments>(k);
  // Each thread has channels of its own, so sums run in the order of the rows.
  pool_.ParallelFor(k, 64, [&](int64_t begin, int64_t end) {
    for (int64_t row = 0; row < rows; ++row) {
      const float* values = x + row * k;
      for (int64_t i = begin; i < end; ++i) {
        const float magnitude = std::fabs(values[i]);
        float& most = stats.absmax[static_cast<size_t>(i)];
        most = std::max(most, magnitude);
        stats.abs_sum[static_cast<size_t>(i)] += static_cast<double>(magnitude);
      }
    }
  });
  // What searches try activations' rounding on.
  if (stats.sample.size() < static_cast<size_t>(kMostSampledRows * k)) {
    stats.first_rows.insert(stats.first_rows.end(), x, x + k);
    const int64_t step = std::max<int64_t>(rows / kSampledRowsPerPass, 1);
    for (int64_t row = std::max<int64_t>(step / 2, 1); row < rows; row += step)
      stats.sample.insert(stats.sample.end(), x + row * k, x + (row + 1) * k);
  }
  stats.rows += rows;
  if (stats.moments) stats.moments->Add(x, rows, pool_);
}

}  // namespace octavo::compress
