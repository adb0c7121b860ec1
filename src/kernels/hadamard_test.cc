// The rotation against its definition in double, its constructions against what makes a matrix
// Hadamard's, and every table against the scalar one.
#include "kernels/hadamard.h"

#include <bit>
#include <cmath>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/hash.h"
#include "core/random.h"
#include "kernels/dispatch.h"

namespace octavo::kernels {
namespace {

std::vector<float> RandomRows(int64_t count, uint64_t seed) {
  core::Random random(seed);
  std::vector<float> out(static_cast<size_t>(count));
  for (float& x : out) x = static_cast<float>(random.Normal());
  return out;
}

// R, [n, n], row by row.
std::vector<float> MatrixOf(const Hadamard& rotation, core::ThreadPool& pool) {
  const int64_t n = rotation.n();
  std::vector<float> out(static_cast<size_t>(n * n), 0.0F);
  for (int64_t i = 0; i < n; ++i) out[static_cast<size_t>(i * n + i)] = 1;
  rotation.Apply(out.data(), n, pool);
  return out;
}

// The largest deviation of R * R^T from the identity.
double Deviation(const std::vector<float>& r, int64_t n) {
  double worst = 0;
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = i; j < n; ++j) {
      double sum = i == j ? -1 : 0;
      for (int64_t k = 0; k < n; ++k)
        sum += static_cast<double>(r[static_cast<size_t>(i * n + k)]) *
               static_cast<double>(r[static_cast<size_t>(j * n + k)]);
      worst = std::max(worst, std::fabs(sum));
    }
  }
  return worst;
}

TEST(Hadamard, EveryOrderThatExistsIsOne) {
  core::ThreadPool pool(2);
  std::string missing;
  for (int64_t n = 1; n <= 200; ++n) {
    if (!Hadamard::Exists(n)) {
      if (n % 4 == 0) missing += std::to_string(n) + " ";
      EXPECT_NE(n & (n - 1), 0) << n;
      continue;
    }
    EXPECT_TRUE(n <= 2 || n % 4 == 0) << n;
    const Hadamard rotation = Hadamard::Make(n, 1);
    EXPECT_EQ(rotation.order(), n);
    const std::vector<float> r = MatrixOf(rotation, pool);
    const double root = std::sqrt(static_cast<double>(n));
    for (const float x : r) ASSERT_NEAR(std::fabs(static_cast<double>(x)) * root, 1, 1e-6) << n;
    ASSERT_LT(Deviation(r, n), 1e-6) << n;
  }
  // Williamson's and later constructions have these.
  EXPECT_EQ(missing, "92 116 156 172 184 188 ");
}

TEST(Hadamard, OrdersOfRealModels) {
  EXPECT_EQ(FindHadamardFactors(1536)->dense, std::vector<int64_t>{12});
  EXPECT_EQ(FindHadamardFactors(1536)->walsh, 128);
  EXPECT_TRUE(FindHadamardFactors(8192)->dense.empty());
  EXPECT_EQ(FindHadamardFactors(576)->dense, std::vector<int64_t>{36});
  EXPECT_EQ(FindHadamardFactors(13824)->dense, (std::vector<int64_t>{12, 12, 12}));
  EXPECT_EQ(FindHadamardFactors(14336)->dense, std::vector<int64_t>{28});   // 27 = 3^3
  EXPECT_EQ(FindHadamardFactors(11008)->dense, std::vector<int64_t>{344});  // 343 = 7^3
  EXPECT_EQ(FindHadamardFactors(4864)->dense, std::vector<int64_t>{76});    // type II, 37
  EXPECT_EQ(FindHadamardFactors(25600)->dense, (std::vector<int64_t>{20, 20}));
  EXPECT_EQ(FindHadamardFactors(100)->dense, std::vector<int64_t>{100});  // type II, 7^2
  EXPECT_FALSE(Hadamard::Exists(0));
  EXPECT_FALSE(Hadamard::Exists(-4));
  EXPECT_FALSE(Hadamard::Exists(6));
}

TEST(Hadamard, WhereNoneExistsItIsBlockDiagonal) {
  core::ThreadPool pool(1);
  for (const auto& [n, order] :
       {std::pair<int64_t, int64_t>{92, 4}, {6, 2}, {35, 1}, {172, 4}, {1, 1}, {376, 8}}) {
    const Hadamard rotation = Hadamard::Make(n, 3);
    ASSERT_EQ(rotation.order(), order) << n;
    const std::vector<float> r = MatrixOf(rotation, pool);
    EXPECT_LT(Deviation(r, n), 1e-6) << n;
    for (int64_t i = 0; i < n; ++i) {
      for (int64_t j = 0; j < n; ++j)
        EXPECT_EQ(r[static_cast<size_t>(i * n + j)] != 0, i / order == j / order) << n;
    }
  }
}

TEST(Hadamard, TransposedTakesItBack) {
  core::ThreadPool pool(2);
  for (const int64_t n : {1, 7, 12, 92, 576, 1536, 4864, 8192, 11008, 13824}) {
    const Hadamard rotation = Hadamard::Make(n, 5);
    const std::vector<float> x = RandomRows(3 * n, 7);
    std::vector<float> y = x;
    rotation.Apply(y.data(), 3, pool);
    double before = 0;
    double after = 0;
    for (size_t i = 0; i < x.size(); ++i) {
      before += static_cast<double>(x[i]) * static_cast<double>(x[i]);
      after += static_cast<double>(y[i]) * static_cast<double>(y[i]);
    }
    EXPECT_NEAR(after / before, 1, 1e-6) << n;
    rotation.ApplyTransposed(y.data(), 3, pool);
    for (size_t i = 0; i < x.size(); ++i) ASSERT_NEAR(y[i], x[i], 2e-5) << n;
  }
}

// A single large number becomes n equal ones: what rotation is for.
TEST(Hadamard, SpreadsAnOutlier) {
  core::ThreadPool pool(1);
  std::vector<float> x(1536, 0.0F);
  x[700] = 1000;
  Hadamard::Make(1536, 1).Apply(x.data(), 1, pool);
  for (const float v : x) EXPECT_NEAR(std::fabs(v), 1000 / std::sqrt(1536.0), 1e-4);
}

TEST(Hadamard, SeedChoosesTheSigns) {
  core::ThreadPool pool(1);
  const std::vector<float> a = MatrixOf(Hadamard::Make(64, 1), pool);
  EXPECT_EQ(a, MatrixOf(Hadamard::Make(64, 1), pool));
  EXPECT_NE(a, MatrixOf(Hadamard::Make(64, 2), pool));
}

// Artifacts hold weights that were rotated offline: another R would make them garbage.
TEST(Hadamard, IsTheSameForEver) {
  core::ThreadPool pool(1);
  std::string bytes;
  for (const int64_t n : {64, 92, 100, 344, 1536}) {
    core::Random random(11);
    std::vector<float> x(static_cast<size_t>(n));
    for (float& v : x) v = static_cast<float>(random.Below(201)) - 100.0F;
    Hadamard::Make(n, 42).Apply(x.data(), 1, pool);
    bytes.append(reinterpret_cast<const char*>(x.data()), x.size() * sizeof(float));
  }
  EXPECT_EQ(core::Sha256Hex(bytes),
            "e6ad8f3c737eb49c25c577d95053137051b83011c7e9be65e69bc326de63c907");
}

TEST(Hadamard, EveryTableAndAnyThreadsGiveTheSameBits) {
  core::ThreadPool one(1);
  core::ThreadPool three(3);
  const KernelTable& active = ActiveTable();
  for (const int64_t n :
       {1, 2, 4, 6, 8, 12, 16, 20, 24, 40, 48, 64, 92, 144, 160, 576, 896, 1536, 2752, 4096}) {
    const int64_t rows = 37;
    const Hadamard rotation = Hadamard::Make(n, 9);
    const std::vector<float> x = RandomRows(rows * n, static_cast<uint64_t>(n));
    ForceTable(ScalarTable());
    std::vector<float> want = x;
    std::vector<float> want_transposed = x;
    rotation.Apply(want.data(), rows, one);
    rotation.ApplyTransposed(want_transposed.data(), rows, one);
    for (const KernelTable* table : AllTables()) {
      if (!table->supported(HostCpu())) continue;
      ForceTable(*table);
      for (core::ThreadPool* pool : {&one, &three}) {
        std::vector<float> got = x;
        std::vector<float> got_transposed = x;
        rotation.Apply(got.data(), rows, *pool);
        rotation.ApplyTransposed(got_transposed.data(), rows, *pool);
        for (size_t i = 0; i < got.size(); ++i) {
          ASSERT_EQ(std::bit_cast<uint32_t>(got[i]), std::bit_cast<uint32_t>(want[i]))
              << table->isa << " " << n;
          ASSERT_EQ(std::bit_cast<uint32_t>(got_transposed[i]),
                    std::bit_cast<uint32_t>(want_transposed[i]))
              << table->isa << " " << n;
        }
      }
    }
  }
  ForceTable(active);
}

}  // namespace
}  // namespace octavo::kernels
