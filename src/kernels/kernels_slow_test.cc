// A million random shapes for each kernel of codes of each table, against plain integer sums.
#include <chrono>
#include <cmath>
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

Case RandomCase(core::Random& random, int bits, bool groups, core::ThreadPool& pool) {
  tensor::QuantizedTensor q;
  q.bits = bits;
  q.n = 1 + static_cast<int64_t>(random.Below(70));
  if (bits == 8) {
    q.k = 1 + static_cast<int64_t>(random.Below(random.Below(50) == 0 ? 1500 : 140));
    q.group_size = q.k;
    if (groups) {
      q.group_size = 4 * (1 + static_cast<int64_t>(random.Below(12)));
      q.k = q.group_size * (1 + static_cast<int64_t>(random.Below(5)));
    }
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

// Whole numbers of which the row's largest is 127: as int8 they are the codes themselves, with a
// scale of 1. In fixed point every third row is of numbers that fill all three codes.
std::vector<float> RandomInputs(core::Random& random, int64_t rows, int64_t k, InputType input) {
  std::vector<float> x(static_cast<size_t>(rows * k));
  const bool extreme = random.Below(5) == 0;
  for (float& value : x) {
    const uint64_t bits = random.Next();
    value = extreme ? (bits % 2 == 0 ? -127.0F : 127.0F)
                    : static_cast<float>(static_cast<int>(bits % 255) - 127);
  }
  for (int64_t r = 0; r < rows; ++r) {
    if (input == InputType::kI24 && r % 3 == 0) {
      for (int64_t i = 0; i < k; ++i) x[static_cast<size_t>(r * k + i)] *= 0.99607843F;
    }
    x[static_cast<size_t>(r * k)] = 127;
  }
  return x;
}

// The sum over inputs first <= i < last of feature n, from the codes of a row, three for each input
// in fixed point.
float PlainSum(const Case& c, const std::vector<uint8_t>& codes, int64_t parts, int64_t n,
               int64_t first, int64_t last) {
  float sums[3] = {};
  for (int64_t p = 0; p < parts; ++p) {
    int64_t sum = 0;
    for (int64_t i = first; i < last; ++i) {
      sum += c.codes.codes[static_cast<size_t>(n * c.codes.k + i)] *
             (codes[static_cast<size_t>(p * c.codes.k + i)] - 128);
    }
    sums[p] = static_cast<float>(sum);
  }
  if (parts == 1) return sums[0];
  return std::fma(sums[0], kRadix * kRadix, std::fma(sums[1], kRadix, sums[2]));
}

void ExpectExact(const Case& c, const std::vector<float>& x, int64_t rows, InputType input,
                 const std::vector<float>& out, const char* isa) {
  const int64_t k = c.codes.k;
  const int64_t parts = CodeRows(input);
  std::vector<uint8_t> codes(static_cast<size_t>(parts * k));
  for (int64_t r = 0; r < rows; ++r) {
    float scale = 0;
    if (input == InputType::kI8) {
      ScalarTable().quantize_row(x.data() + r * k, k, codes.data(), &scale);
    } else {
      ScalarTable().split_row(x.data() + r * k, k, codes.data(), k, &scale);
    }
    for (int64_t n = 0; n < c.codes.n; ++n) {
      float want = 0;
      if (c.packed.group() == 0) {
        want = PlainSum(c, codes, parts, n, 0, k) * scale * 0.5F;
      } else {
        for (int64_t i = 0; i < k; i += c.packed.group())
          want = std::fma(PlainSum(c, codes, parts, n, i, i + c.packed.group()), 0.5F, want);
        want *= scale;
      }
      ASSERT_EQ(out[static_cast<size_t>(r * c.codes.n + n)], want)
          << isa << " bits " << c.codes.bits << " n " << c.codes.n << " k " << k << " group "
          << c.packed.group() << " rows " << rows << " at " << r << ", " << n;
    }
  }
}

struct Kernel {
  int bits;
  InputType input;
};

class EveryTable : public testing::TestWithParam<Kernel> {};

TEST_P(EveryTable, AMillionRandomShapesAreExact) {
  const auto [bits, input] = GetParam();
  core::ThreadPool pool(1);
  std::set<void (*)(const MatMulPiece&)> seen;
  for (const KernelTable* table : AllTables()) {
    if (!table->supported(HostCpu()) || table == &ScalarTable()) continue;
    // Two tables of one ISA share their integer kernels.
    const MatMulEntry* row = table->matmul[static_cast<int>(input)];
    const auto run = row[static_cast<int>(bits == 8 ? Storage::kI8 : Storage::kI4)].run;
    if (!seen.insert(run).second) continue;
    ForceTable(*table);
    core::Random random(static_cast<uint64_t>(bits));
    const auto start = std::chrono::steady_clock::now();
    for (int64_t done = 0; done < kShapes;) {
      const Case c = RandomCase(random, bits, input == InputType::kI24 && done % 40 == 0, pool);
      for (int64_t i = 0; i < kInputsOfAWeight; ++i, ++done) {
        const int64_t rows = 1 + static_cast<int64_t>(random.Below(random.Below(30) == 0 ? 50 : 7));
        const std::vector<float> x = RandomInputs(random, rows, c.codes.k, input);
        Activations activations;
        std::vector<float> out(static_cast<size_t>(rows * c.codes.n));
        const Product product{&c.packed, nullptr, out.data(), nullptr};
        activations.Assign(x.data(), rows, c.codes.k, input, pool,
                           {.sum_inputs = SumInputs({&product, 1})});
        MatMul(activations, {&product, 1}, pool);
        ASSERT_NO_FATAL_FAILURE(ExpectExact(c, x, rows, input, out, table->isa));
      }
    }
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    std::printf("%s %s: %lld shapes in %.0f s\n", table->isa,
                row[static_cast<int>(bits == 8 ? Storage::kI8 : Storage::kI4)].name,
                static_cast<long long>(kShapes), seconds.count());
  }
}

INSTANTIATE_TEST_SUITE_P(Kernels, EveryTable,
                         testing::Values(Kernel{8, InputType::kI8}, Kernel{4, InputType::kI8},
                                         Kernel{8, InputType::kI24}, Kernel{4, InputType::kI24}));

}  // namespace
}  // namespace octavo::kernels
