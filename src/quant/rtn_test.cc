#include "quant/rtn.h"

#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include "core/random.h"
#include "kernels/dispatch.h"
#include "quant/fixture.h"

namespace octavo::quant {
namespace {

using tensor::DType;

// [N, K] of `dtype` with normal weights; owns the bytes of its view.
struct Matrix {
  Matrix(int64_t n, int64_t k, DType dtype) : values(static_cast<size_t>(n * k)) {
    core::Random random(7);
    for (float& x : values) x = static_cast<float>(0.05 * random.Normal());
    view.dtype = dtype;
    view.shape = {n, k};
    Store();
  }
  void Store() {
    bytes.resize(values.size() * DTypeSize(view.dtype));
    tensor::ConvertFromFloat(values, view.dtype, bytes);
    view.bytes = bytes;
  }
  std::vector<float> values;
  std::vector<std::byte> bytes;
  tensor::TensorView view;
};

TEST(Rtn, IsTheDefinitionRowByRowAndGroupByGroup) {
  core::ThreadPool pool(2);
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    for (const char* name : {"w8a16", "w8a16-g16", "w4a16-g32"}) {
      const Matrix m(37, 96, dtype);
      const tensor::Scheme scheme = Parse(name);
      const auto q = RoundToNearest(m.view, scheme, dtype, pool);
      ASSERT_TRUE(q.ok()) << q.error().message();
      const auto& out = q.value();
      EXPECT_EQ(out.group_size, scheme.group_size == 0 ? 96 : scheme.group_size);
      std::vector<float> row(96);
      for (int64_t n = 0; n < 37; ++n) {
        for (size_t k = 0; k < 96; ++k) {
          row[k] = tensor::RoundToDType(m.values[static_cast<size_t>(n) * 96 + k], dtype);
        }
        for (int64_t g = 0; g < out.groups(); ++g) {
          std::vector<int8_t> codes(static_cast<size_t>(out.group_size));
          const float scale =
              tensor::QuantizeGroup(std::span<const float>(row).subspan(
                                        static_cast<size_t>(g * out.group_size), codes.size()),
                                    out.bits, dtype, codes);
          EXPECT_EQ(scale, out.scales[static_cast<size_t>(n * out.groups() + g)]);
          EXPECT_TRUE(std::equal(codes.begin(), codes.end(),
                                 out.codes.begin() + n * 96 + g * out.group_size));
        }
      }
    }
  }
}

TEST(Rtn, RowsByThemselvesAreThoseOfTheMatrix) {
  Matrix m(37, 96, DType::kBF16);
  core::ThreadPool pool(2);
  for (const char* name : {"w8a16", "w4a16-g32"}) {
    const auto all = RoundToNearest(m.view, Parse(name), DType::kBF16, pool).value();
    const auto part = RoundRowsToNearest(m.view, 5, 20, Parse(name), DType::kBF16, pool).value();
    EXPECT_EQ(part.n, 20);
    EXPECT_TRUE(std::equal(part.codes.begin(), part.codes.end(), all.codes.begin() + 5 * 96));
    EXPECT_TRUE(
        std::equal(part.scales.begin(), part.scales.end(), all.scales.begin() + 5 * all.groups()));
  }
  m.values[10 * 96 + 4] = NAN;
  m.Store();
  const auto bad = RoundRowsToNearest(m.view, 5, 20, Parse("w8a16"), DType::kBF16, pool);
  ASSERT_FALSE(bad.ok());
  EXPECT_EQ(bad.error().message().find("weight [10, 4] is NaN"), 0U) << bad.error().message();
}

TEST(Rtn, EveryIsaGivesTheSameBits) {
  const Matrix m(33, 120, DType::kF16);
  core::ThreadPool pool(2);
  const kernels::KernelTable& active = kernels::ActiveTable();
  kernels::ForceTable(kernels::ScalarTable());
  const auto want = RoundToNearest(m.view, Parse("w4a16-g8"), DType::kF16, pool).value();
  for (const kernels::KernelTable* table : kernels::AllTables()) {
    if (!kernels::SelectTable(table->isa).ok()) continue;
    kernels::ForceTable(*table);
    const auto got = RoundToNearest(m.view, Parse("w4a16-g8"), DType::kF16, pool).value();
    EXPECT_EQ(got.codes, want.codes) << table->isa;
    EXPECT_EQ(got.scales, want.scales) << table->isa;
  }
  kernels::ForceTable(active);
}

TEST(Rtn, ThreadsDoNotChangeABit) {
  const Matrix m(131, 64, DType::kF16);
  core::ThreadPool one(1);
  core::ThreadPool three(3);
  for (const Clip clip : {Clip::kNone, Clip::kMse}) {
    const auto a = RoundToNearest(m.view, Parse("w8a16"), DType::kF16, one, clip);
    const auto b = RoundToNearest(m.view, Parse("w8a16"), DType::kF16, three, clip);
    EXPECT_EQ(a.value().codes, b.value().codes);
    EXPECT_EQ(a.value().scales, b.value().scales);
  }
}

TEST(Rtn, ClippingTakesTheScaleOfTheSearchAndLowersTheError) {
  const Matrix m(20, 64, DType::kF32);
  core::ThreadPool pool(2);
  std::vector<float> importance(64);
  for (size_t k = 0; k < 64; ++k) importance[k] = 1.0F + static_cast<float>(k % 5);
  const auto plain = RoundToNearest(m.view, Parse("w4a16-g32"), DType::kF16, pool).value();
  const auto clipped =
      RoundToNearest(m.view, Parse("w4a16-g32"), DType::kF16, pool, Clip::kMse, importance).value();
  double plain_error = 0;
  double clipped_error = 0;
  for (size_t i = 0; i < m.values.size(); ++i) {
    const size_t group = i / 32;
    const double a = m.values[i] - plain.scales[group] * static_cast<float>(plain.codes[i]);
    const double b = m.values[i] - clipped.scales[group] * static_cast<float>(clipped.codes[i]);
    plain_error += importance[i % 64] * a * a;
    clipped_error += importance[i % 64] * b * b;
    EXPECT_EQ(clipped.scales[group], ChooseScale(std::span(m.values).subspan(group * 32, 32),
                                                 std::span(importance).subspan(group % 2 * 32, 32),
                                                 4, DType::kF16, Clip::kMse));
  }
  EXPECT_LT(clipped_error, plain_error);
}

TEST(Rtn, PerTensorHasOneScale) {
  Matrix m(20, 24, DType::kF32);
  m.values[100] = 1.27F;
  m.Store();
  core::ThreadPool pool(2);
  const auto q = RoundToNearestPerTensor(m.view, 8, DType::kF32, pool).value();
  EXPECT_EQ(q.group_size, 24);
  ASSERT_EQ(q.scales.size(), 20U);
  for (const float scale : q.scales) EXPECT_EQ(scale, 1.27F / 127.0F);
  EXPECT_EQ(q.codes[100], 127);
  for (size_t i = 0; i < m.values.size(); ++i) {
    EXPECT_LE(std::fabs(static_cast<float>(q.codes[i]) * q.scales[0] - m.values[i]),
              q.scales[0] * (0.5F + 127 * 0x1p-23F));
  }
  m.values[30] = NAN;
  m.Store();
  const auto bad = RoundToNearestPerTensor(m.view, 8, DType::kF32, pool);
  ASSERT_FALSE(bad.ok());
  EXPECT_EQ(bad.error().message().find("weight [1, 6] is NaN"), 0U) << bad.error().message();
}

TEST(Rtn, ErrorIsAtMostHalfAScale) {
  const Matrix m(16, 256, DType::kF32);
  core::ThreadPool pool(1);
  const auto q = RoundToNearest(m.view, Parse("w8a16"), DType::kF32, pool);
  for (size_t i = 0; i < m.values.size(); ++i) {
    const float scale = q.value().scales[i / 256];
    // Half a scale by rounding; the division and the product round to f32, 127 * 2^-23 scales.
    EXPECT_LE(std::fabs(static_cast<float>(q.value().codes[i]) * scale - m.values[i]),
              scale * (0.5F + 127 * 0x1p-23F));
  }
}

TEST(Rtn, NamesTheFirstWeightThatIsNotFinite) {
  Matrix m(40, 8, DType::kF32);
  m.values[39 * 8 + 1] = INFINITY;
  m.values[21 * 8 + 5] = NAN;
  m.Store();
  core::ThreadPool pool(2);
  const auto q = RoundToNearest(m.view, Parse("w8a16"), DType::kF32, pool);
  ASSERT_FALSE(q.ok());
  EXPECT_EQ(q.error().message().find("weight [21, 5] is NaN"), 0U) << q.error().message();
}

TEST(Rtn, ScalesOfHalfModelsAreF32WhereHalfWouldBeSubnormal) {
  core::ThreadPool pool(2);
  Matrix m(20, 8, DType::kF16);
  EXPECT_EQ(ScaleDTypeFor(m.view, Parse("w8a16"), pool), DType::kF16);
  std::fill_n(m.values.begin() + 8, 8, 0.0F);  // a zero row has scale 1
  m.Store();
  EXPECT_EQ(ScaleDTypeFor(m.view, Parse("w8a16"), pool), DType::kF16);
  m.values[8] = 0.007F;  // / 127 is below 2^-14
  m.Store();
  EXPECT_EQ(ScaleDTypeFor(m.view, Parse("w8a16"), pool), DType::kF32);
  // The weight that decides stands behind many that do not.
  Matrix wide(3, 300, DType::kF16);
  std::fill(wide.values.begin(), wide.values.end(), 0.001F);
  for (const size_t row : {size_t{0}, size_t{1}, size_t{2}}) wide.values[row * 300 + 299] = 0.0078F;
  wide.Store();
  EXPECT_EQ(ScaleDTypeFor(wide.view, Parse("w8a16"), pool), DType::kF16);
  wide.values[599] = 0.0077F;
  wide.Store();
  EXPECT_EQ(ScaleDTypeFor(wide.view, Parse("w8a16"), pool), DType::kF32);
  m.view.dtype = DType::kBF16;
  EXPECT_EQ(ScaleDTypeFor(m.view, Parse("w8a16"), pool), DType::kBF16);
}

}  // namespace
}  // namespace octavo::quant
