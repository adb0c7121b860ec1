#include "quant/output_error.h"

#include <vector>

#include <gtest/gtest.h>

#include "quant/fixture.h"
#include "quant/rtn.h"

namespace octavo::quant {
namespace {

TEST(OutputError, IsTheMeanSquareOfTheOutputsErrors) {
  core::ThreadPool pool(2);
  for (const int64_t k : {16, 64, 528}) {  // 528: more than one block of columns
    const int64_t n = 70;
    const int64_t rows = 90;
    const std::vector<float> x = CorrelatedInputs(rows, k, 1);
    const std::vector<float> w = Normal(n * k, 2, 0.05);
    const tensor::TensorView view{tensor::DType::kF32, {n, k}, std::as_bytes(std::span(w))};
    const auto scheme = tensor::ParseScheme("w4a16-g16").value();
    auto q = RoundToNearest(view, scheme, tensor::DType::kF16, pool).value();
    double expected = 0;
    for (int64_t i = 0; i < n; ++i) {
      for (int64_t r = 0; r < rows; ++r) {
        double y = 0;
        for (int64_t j = 0; j < k; ++j) {
          const auto at = static_cast<size_t>(i * k + j);
          y += (w[at] - q.codes[at] * static_cast<double>(q.scales[at / 16])) *
               x[static_cast<size_t>(r * k + j)];
        }
        expected += y * y;
      }
    }
    expected /= static_cast<double>(rows);
    const double error = OutputError(w, q, Moments(x, k, pool), pool);
    // tr(E H E^T) sums in f32 terms up to K times larger than itself.
    EXPECT_NEAR(error, expected, static_cast<double>(k) * 0x1p-22 * expected);

    for (size_t i = 0; i < 16; ++i) q.codes[i] = static_cast<int8_t>(-q.codes[i]);  // is seen
    EXPECT_GT(OutputError(w, q, Moments(x, k, pool), pool), 1.01 * expected);
  }
}

TEST(OutputError, ThreadsDoNotChangeABit) {
  core::ThreadPool one(1);
  core::ThreadPool three(3);
  const std::vector<float> w = Normal(200 * 64, 3);
  const auto fill = [&](int64_t n, std::span<float> row) {
    std::copy_n(w.begin() + n * 64, 64, row.begin());
  };
  const SecondMoments moments = Moments(CorrelatedInputs(50, 64, 4), 64, one);
  EXPECT_EQ(OutputErrorOf(200, fill, moments, one), OutputErrorOf(200, fill, moments, three));
}

}  // namespace
}  // namespace octavo::quant
