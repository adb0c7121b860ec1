#include "quant/smoothquant.h"

#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include "quant/fixture.h"

namespace octavo::quant {
namespace {

constexpr int64_t kSmoothInputs = 64;

std::vector<float> AbsMaxOfColumns(const std::vector<float>& x) {
  return ColumnAbsMax(std::vector{MatrixView{x, static_cast<int64_t>(x.size()) / kSmoothInputs}},
                      kSmoothInputs);
}

// Inputs of which every 16th is 40 times the others.
std::vector<float> OutlierInputs(int64_t rows) {
  std::vector<float> x = Normal(rows * kSmoothInputs, 1);
  for (size_t i = 0; i < x.size(); i += 16) x[i] *= 40;
  return x;
}

TEST(SmoothQuant, ScalesAreThePapers) {
  const std::vector<float> x = {16, 4, 0, 1, 1e-30F};
  const std::vector<float> w = {1, 4, 1, 0, 1};
  const std::vector<float> half = SmoothScales(x, w, 0.5F);
  EXPECT_EQ(half[0], 4);
  EXPECT_EQ(half[1], 1);
  EXPECT_EQ(half[2], 1);  // never used
  EXPECT_EQ(half[3], 1);  // no weight
  EXPECT_EQ(half[4], 1e-5F);
  EXPECT_EQ(SmoothScales(x, w, 1)[0], 16);
  EXPECT_EQ(SmoothScales(x, w, 0)[1], 0.25F);
}

TEST(SmoothQuant, SearchLowersTheErrorThatRoundingBothReallyGives) {
  core::ThreadPool pool(2);
  const int64_t rows = 200;
  const std::vector<float> x = OutlierInputs(rows);
  const std::vector<float> w = Normal(48 * kSmoothInputs, 2, 0.05);
  const SecondMoments moments = Moments(x, kSmoothInputs, pool);
  const std::vector<MatrixView> weights = {{w, 48}};
  const std::vector<float> absmax = AbsMaxOfColumns(x);
  // By the definition: both rounded, against the exact product.
  const auto measured = [&](const std::vector<float>& f, bool dynamic) {
    std::vector<double> restored(w.size());
    for (size_t n = 0; n < 48; ++n) {
      std::vector<float> row(kSmoothInputs);
      for (size_t j = 0; j < row.size(); ++j) row[j] = w[n * kSmoothInputs + j] * f[j];
      std::vector<int8_t> codes(row.size());
      const float scale = tensor::QuantizeGroup(row, 8, tensor::DType::kF32, codes);
      for (size_t j = 0; j < row.size(); ++j) restored[n * kSmoothInputs + j] = codes[j] * scale;
    }
    float fixed = 0;
    for (size_t j = 0; j < kSmoothInputs; ++j) fixed = std::max(fixed, absmax[j] / f[j]);
    double total = 0;
    for (size_t r = 0; r < static_cast<size_t>(rows); ++r) {
      std::vector<float> row(kSmoothInputs);
      for (size_t j = 0; j < row.size(); ++j) row[j] = x[r * kSmoothInputs + j] / f[j];
      const float step = (dynamic ? tensor::AbsMax(row) : fixed) / 127;
      std::vector<int8_t> codes(row.size());
      tensor::EncodeGroup(row, 8, step, codes);
      for (size_t n = 0; n < 48; ++n) {
        double y = 0;
        for (size_t j = 0; j < row.size(); ++j) {
          y += restored[n * kSmoothInputs + j] * codes[j] * step -
               static_cast<double>(w[n * kSmoothInputs + j]) * x[r * kSmoothInputs + j];
        }
        total += y * y;
      }
    }
    return total / static_cast<double>(rows);
  };
  for (const char* name : {"w8a8", "w8a8-static"}) {
    const SmoothResult found =
        SearchSmooth(weights, absmax, x, moments, Parse(name), {}, pool).value();
    const bool dynamic = std::string_view(name) == "w8a8";
    const double before = measured(std::vector<float>(kSmoothInputs, 1.0F), dynamic);
    const double after = measured(found.factors, dynamic);
    EXPECT_GT(found.alpha, 0) << name;
    EXPECT_LT(after, 0.5 * before) << name;
    // The estimate takes rounding errors as uniform and independent; they nearly are, but for the
    // largest input of a row, which is exactly a code and weighs most.
    EXPECT_NEAR(found.error_before, before, 0.25 * before) << name;
    EXPECT_NEAR(found.error_after, after, 0.25 * after) << name;
  }
}

TEST(SmoothQuant, TiedInputsShareAFactor) {
  core::ThreadPool pool(2);
  const std::vector<float> x = OutlierInputs(100);
  const std::vector<float> w = Normal(16 * kSmoothInputs, 3, 0.05);
  std::vector<int64_t> ties(kSmoothInputs);
  for (size_t j = 0; j < ties.size(); ++j) ties[j] = static_cast<int64_t>(j / 2);
  SmoothOptions options;
  options.ties = ties;
  const auto found = SearchSmooth(std::vector{MatrixView{w, 16}}, AbsMaxOfColumns(x), x,
                                  Moments(x, kSmoothInputs, pool), Parse("w8a8"), options, pool)
                         .value();
  EXPECT_LT(found.error_after, found.error_before);
  for (size_t j = 0; j < kSmoothInputs; j += 2) EXPECT_EQ(found.factors[j], found.factors[j + 1]);
}

TEST(SmoothQuant, NamesAWeightThatIsNotFinite) {
  core::ThreadPool pool(1);
  const std::vector<float> x = OutlierInputs(10);
  std::vector<float> w = Normal(4 * kSmoothInputs, 4);
  w[kSmoothInputs + 3] = NAN;
  const auto refused = SearchSmooth(std::vector{MatrixView{w, 4}}, AbsMaxOfColumns(x), x,
                                    Moments(x, kSmoothInputs, pool), Parse("w8a8"), {}, pool);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().message().find("weight [1, 3] is NaN"), 0U);
}

}  // namespace
}  // namespace octavo::quant
