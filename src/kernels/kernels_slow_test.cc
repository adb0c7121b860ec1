// A million random shapes for each integer kernel of each table, against plain integer sums.
#include <chrono>
#include <cstdio>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/random.h"
#include "kernels/dispatch.h"
#include "kernels/matmul.h"

namespace octavo::kernels {
namespace {

constexpr int64_t kShapes = 1'000'000;

// Weights are used for several inputs, so that most of the time goes into products.
constexpr int64_t kInputsOfAWeight = 10;

struct Case {
  tensor::QuantizedTensor codes;
  PackedMatrix packed;
};

Case RandomCase(core::Random& random, int bits, core::ThreadPool& pool) {
  tensor::QuantizedTensor q;
  q.bits = bits;
  q.n = 1 + static_cast<int64_t>(random.Below(70));
  if (bits == 8) {
    q.k = 1 + static_cast<int64_t>(random.Below(random.Below(50) == 0 ? 1500 : 140));
    q.group_size = q.k;
  } else {
    q.group_size = 16 * (1 + static_cast<int64_t>(random.Below(4)));
    q.k = q.group_size * (1 + static_cast<int64_t>(random.Below(5)));
  }
  q.scale_dtype = tensor::DType::kF32;
  const int low = -(1 << (bits - 1));
  const int high = -low - 1;
  const bool extreme = random.Below(5) == 0;
  q.codes.resize(static_cast<size_t>(q.n * q.k));
  for (int8_t& code : q.codes) {
    const uint64_t bits64 = random.Next();
    const int any = low + static_cast<int>(bits64 % static_cast<uint64_t>(high - low + 1));
    code = static_cast<int8_t>(extreme ? (bits64 % 2 == 0 ? low : high) : any);
  }
  // Powers of two: scaling is exact, so a sum that is one off shows.
  q.scales.assign(static_cast<size_t>(q.n * q.groups()), 0.5F);
  PackedMatrix packed = PackedMatrix::Pack(q, pool);
  return {std::move(q), std::move(packed)};
}

// Inputs that are codes already: the row's largest is 127, so its scale is 1.
std::vector<float> RandomInputs(core::Random& random, int64_t rows, int64_t k) {
  std::vector<float> x(static_cast<size_t>(rows * k));
  const bool extreme = random.Below(5) == 0;
  for (float& value : x) {
    const uint64_t bits = random.Next();
    value = extreme ? (bits % 2 == 0 ? -127.0F : 127.0F)
                    : static_cast<float>(static_cast<int>(bits % 255) - 127);
  }
  for (int64_t r = 0; r < rows; ++r) x[static_cast<size_t>(r * k)] = 127;
  return x;
}

void ExpectExact(const Case& c, const std::vector<float>& x, int64_t rows,
                 const std::vector<float>& out, const char* isa) {
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t n = 0; n < c.codes.n; ++n) {
      int64_t sum = 0;
      for (int64_t k = 0; k < c.codes.k; ++k) {
        sum += c.codes.codes[static_cast<size_t>(n * c.codes.k + k)] *
               static_cast<int>(x[static_cast<size_t>(r * c.codes.k + k)]);
      }
      // Below 2^24, so exact in f32.
      ASSERT_EQ(out[static_cast<size_t>(r * c.codes.n + n)], static_cast<float>(sum) * 0.5F)
          << isa << " bits " << c.codes.bits << " n " << c.codes.n << " k " << c.codes.k << " rows "
          << rows << " at " << r << ", " << n;
    }
  }
}

class EveryTable : public testing::TestWithParam<int> {};

TEST_P(EveryTable, AMillionRandomShapesAreExact) {
  const int bits = GetParam();
  core::ThreadPool pool(1);
  std::set<void (*)(const MatMulPiece&)> seen;
  for (const KernelTable* table : AllTables()) {
    if (!table->supported(HostCpu()) || table == &ScalarTable()) continue;
    // Two tables of one ISA share their integer kernels.
    const MatMulEntry* row = table->matmul[static_cast<int>(InputType::kI8)];
    const auto run = row[static_cast<int>(bits == 8 ? Storage::kI8 : Storage::kI4)].run;
    if (!seen.insert(run).second) continue;
    ForceTable(*table);
    core::Random random(static_cast<uint64_t>(bits));
    const auto start = std::chrono::steady_clock::now();
    for (int64_t done = 0; done < kShapes;) {
      const Case c = RandomCase(random, bits, pool);
      for (int64_t i = 0; i < kInputsOfAWeight; ++i, ++done) {
        const int64_t rows = 1 + static_cast<int64_t>(random.Below(random.Below(30) == 0 ? 50 : 7));
        const std::vector<float> x = RandomInputs(random, rows, c.codes.k);
        Activations activations;
        activations.Assign(x.data(), rows, c.codes.k, InputType::kI8, pool, bits == 4);
        std::vector<float> out(static_cast<size_t>(rows * c.codes.n));
        const Product product{&c.packed, nullptr, out.data(), nullptr};
        MatMul(activations, {&product, 1}, pool);
        ASSERT_NO_FATAL_FAILURE(ExpectExact(c, x, rows, out, table->isa));
      }
    }
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    std::printf("%s, %d-bit weights: %lld shapes in %.0f s\n", table->isa, bits,
                static_cast<long long>(kShapes), seconds.count());
  }
}

INSTANTIATE_TEST_SUITE_P(Bits, EveryTable, testing::Values(8, 4));

}  // namespace
}  // namespace octavo::kernels
