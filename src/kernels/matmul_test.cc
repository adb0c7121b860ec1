// Products of every table against the scalar definition, bit for bit, over random and awkward
// shapes; and the definition against plain double arithmetic on the unpacked weights.
#include "kernels/matmul.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "core/random.h"
#include "kernels/dispatch.h"
#include "kernels/elementwise.h"
#include "kernels/fixture.h"
#include "kernels/scratch.h"
#include "tensor/quant_spec.h"

namespace octavo::kernels {
namespace {

using core::Random;

struct Matrix {
  std::vector<std::byte> bytes;
  tensor::TensorView view;
};

Matrix RandomMatrix(Random& random, int64_t n, int64_t k, tensor::DType dtype) {
  Matrix out;
  out.bytes.resize(static_cast<size_t>(n * k) * tensor::DTypeSize(dtype));
  tensor::ConvertFromFloat(RandomFloats(random, n * k), dtype, out.bytes);
  out.view = {dtype, {n, k}, out.bytes};
  return out;
}

tensor::QuantizedTensor RandomCodes(Random& random, int64_t n, int64_t k, bool extreme) {
  tensor::QuantizedTensor out{n, k, 8, k, tensor::DType::kF32, {}, {}};
  for (int64_t i = 0; i < n * k; ++i) {
    const int code =
        extreme ? (random.Below(2) == 0 ? -128 : 127) : static_cast<int>(random.Below(256)) - 128;
    out.codes.push_back(static_cast<int8_t>(code));
  }
  for (int64_t i = 0; i < n; ++i)
    out.scales.push_back(static_cast<float>(0.001 + random.Uniform()));
  return out;
}

PackedMatrix RandomPacked(Random& random, Storage storage, int64_t n, int64_t k,
                          core::ThreadPool& pool) {
  switch (storage) {
    case Storage::kF32:
      return PackedMatrix::Pack(RandomMatrix(random, n, k, tensor::DType::kF32).view, pool);
    case Storage::kF16:
      return PackedMatrix::Pack(RandomMatrix(random, n, k, tensor::DType::kF16).view, pool);
    case Storage::kBF16:
      return PackedMatrix::Pack(RandomMatrix(random, n, k, tensor::DType::kBF16).view, pool);
    case Storage::kI8:
    case Storage::kI4:
      break;
  }
  return PackedMatrix::Pack(RandomCodes(random, n, k, random.Below(4) == 0), pool);
}

// Codes of 8 or 4 bits in groups of `group` inputs.
tensor::QuantizedTensor RandomGroups(Random& random, int bits, int64_t n, int64_t groups,
                                     int64_t group, tensor::DType scale_dtype) {
  tensor::QuantizedTensor out{n, groups * group, bits, group, scale_dtype, {}, {}};
  const int range = 1 << bits;
  for (int64_t i = 0; i < n * out.k; ++i) {
    out.codes.push_back(static_cast<int8_t>(
        static_cast<int>(random.Below(static_cast<uint64_t>(range))) - range / 2));
  }
  for (int64_t i = 0; i < n * groups; ++i) {
    out.scales.push_back(
        tensor::RoundToDType(static_cast<float>(0.001 + random.Uniform()), scale_dtype));
  }
  return out;
}

std::vector<float> RunMatMul(const KernelTable& table, const PackedMatrix& weight,
                             const std::vector<float>& x, int64_t rows,
                             const std::vector<float>* bias, InputType input,
                             core::ThreadPool& pool, bool add = false) {
  ForceTable(table);
  Activations activations;
  std::vector<float> out(static_cast<size_t>(rows * weight.n()), add ? 0.625F : NAN);
  const Product product{&weight, bias != nullptr ? bias->data() : nullptr, out.data(), nullptr,
                        add};
  activations.Assign(x.data(), rows, weight.k(), input, pool,
                     {.sum_inputs = SumInputs({&product, 1})});
  MatMul(activations, {&product, 1}, pool);
  return out;
}

// What float inputs become for these weights.
InputType FloatInput(Storage storage) {
  return storage == Storage::kI8 || storage == Storage::kI4 ? InputType::kI24 : InputType::kF32;
}

// Of a sum in fixed point: each input is off by at most 1.5 units of its row (half a unit by
// rounding, one by the arithmetic that leads there), and the few steps behind the exact integer
// sums round as f32 does.
double SplitBound(const std::vector<float>& weights, const std::vector<float>& x,
                  double magnitude) {
  double total = 0;
  float largest = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    total += std::fabs(static_cast<double>(weights[i]));
    largest = std::max(largest, std::fabs(x[i]));
  }
  return total * largest * 1.5 / (127.0 * kRadix * kRadix) + magnitude * 8 * 0x1p-24;
}

bool Has(const KernelTable& table, InputType input, Storage storage) {
  return table.matmul[static_cast<int>(input)][static_cast<int>(storage)].run != nullptr;
}

// bf16 sums on AMX have an order of their own, which the software model defines.
const KernelTable& DefinitionFor(const KernelTable& table, InputType input) {
  const bool tiles = std::string_view(table.isa).starts_with("amx");
  return tiles && input == InputType::kBf16 ? *SelectTable("amx_model").value() : ScalarTable();
}

TEST(MatMul, EveryTableEqualsTheDefinition) {
  TableGuard guard;
  Random random(1);
  core::ThreadPool pool(2);
  for (int trial = 0; trial < 1000; ++trial) {
    const int64_t n = 1 + static_cast<int64_t>(random.Below(150));
    const int64_t k = 1 + static_cast<int64_t>(random.Below(random.Below(20) == 0 ? 2600 : 90));
    const int64_t rows = 1 + static_cast<int64_t>(random.Below(trial % 7 == 0    ? 150
                                                               : trial % 97 == 0 ? 600
                                                                                 : 40));
    const auto storage = static_cast<Storage>(trial % 4);  // 4-bit codes are a test of their own
    const PackedMatrix weight = RandomPacked(random, storage, n, k, pool);
    const std::vector<float> x = RandomFloats(random, rows * k);
    const std::vector<float> bias = RandomFloats(random, weight.blocks() * kBlockFeatures);
    const auto* maybe_bias = random.Below(2) == 0 ? &bias : nullptr;
    const auto input = static_cast<InputType>(random.Below(kInputCount));
    const bool add = random.Below(2) == 0;
    if (!Has(ScalarTable(), input, storage)) continue;
    for (const KernelTable* table : RunnableTables()) {
      if (!Has(*table, input, storage)) continue;
      const auto want =
          RunMatMul(DefinitionFor(*table, input), weight, x, rows, maybe_bias, input, pool, add);
      ExpectSameBits(RunMatMul(*table, weight, x, rows, maybe_bias, input, pool, add), want,
                     std::string(table->isa) + " n=" + std::to_string(n) +
                         " k=" + std::to_string(k) + " rows=" + std::to_string(rows) +
                         " storage=" + std::to_string(static_cast<int>(storage)));
    }
  }
}

TEST(MatMul, GroupsOfEveryTableEqualTheDefinition) {
  TableGuard guard;
  Random random(13);
  core::ThreadPool pool(2);
  for (int trial = 0; trial < 600; ++trial) {
    const int bits = trial % 2 == 0 ? 4 : 8;
    const int64_t n = 1 + static_cast<int64_t>(random.Below(150));
    // Some groups are too large to be taken apart, some so many that they are worked on in parts.
    const bool many = trial % 25 < 2;
    const int64_t group = 16 * (1 + static_cast<int64_t>(random.Below(many             ? 2
                                                                      : trial % 50 < 4 ? 150
                                                                                       : 8)));
    const int64_t groups = 1 + static_cast<int64_t>(random.Below(many ? 80 : 6));
    if (bits == 8 && groups == 1) continue;  // one scale for each feature
    const int64_t rows = 1 + static_cast<int64_t>(random.Below(trial % 7 == 0 ? 150 : 14));
    constexpr tensor::DType kScales[] = {tensor::DType::kF32, tensor::DType::kF16,
                                         tensor::DType::kBF16};
    const auto codes = RandomGroups(random, bits, n, groups, group, kScales[random.Below(3)]);
    const PackedMatrix weight = PackedMatrix::Pack(codes, pool);
    EXPECT_EQ(weight.group(), group);
    const std::vector<float> x = RandomFloats(random, rows * weight.k());
    const std::vector<float> bias = RandomFloats(random, weight.blocks() * kBlockFeatures);
    const auto* maybe_bias = random.Below(2) == 0 ? &bias : nullptr;
    const bool add = random.Below(2) == 0;
    const InputType input = bits == 4 && random.Below(2) == 0 ? InputType::kI8 : InputType::kI24;
    const auto want = RunMatMul(ScalarTable(), weight, x, rows, maybe_bias, input, pool, add);
    for (const KernelTable* table : RunnableTables()) {
      ExpectSameBits(RunMatMul(*table, weight, x, rows, maybe_bias, input, pool, add), want,
                     std::string(table->isa) + " bits=" + std::to_string(bits) +
                         " n=" + std::to_string(n) + " group=" + std::to_string(group) +
                         " groups=" + std::to_string(groups) + " rows=" + std::to_string(rows));
    }
  }
}

// The definition of groups against plain double arithmetic on the unpacked weights, and the packing
// against the codes themselves.
TEST(MatMul, GroupsAreTheirCodesTimesTheirScales) {
  TableGuard guard;
  Random random(14);
  core::ThreadPool pool(1);
  for (const int bits : {4, 8}) {
    const auto codes = RandomGroups(random, bits, 37, 5, 32, tensor::DType::kF16);
    const PackedMatrix weight = PackedMatrix::Pack(codes, pool);
    const std::vector<float> x = RandomFloats(random, weight.k());
    const auto got = RunMatMul(ScalarTable(), weight, x, 1, nullptr, InputType::kI24, pool);
    std::vector<float> row(static_cast<size_t>(weight.k()));
    for (int64_t n = 0; n < weight.n(); ++n) {
      weight.UnpackRow(n, row);
      double exact = 0;
      double magnitude = 0;
      for (int64_t k = 0; k < weight.k(); ++k) {
        const auto at = static_cast<size_t>(n * weight.k() + k);
        const float w =
            static_cast<float>(codes.codes[at]) * codes.scales[static_cast<size_t>(n * 5 + k / 32)];
        ASSERT_EQ(row[static_cast<size_t>(k)], w);
        exact += static_cast<double>(w) * x[static_cast<size_t>(k)];
        magnitude += std::fabs(static_cast<double>(w) * x[static_cast<size_t>(k)]);
      }
      EXPECT_NEAR(got[static_cast<size_t>(n)], exact, SplitBound(row, x, magnitude));
    }
  }
}

// |sum of K products rounded after each step - exact| <= K * 2^-24 * sum |w x| to first order
// (Higham 2002, section 3.1); codes meet inputs in fixed point.
TEST(MatMul, DefinitionIsWithinTheRoundingBoundOfDoubleArithmetic) {
  TableGuard guard;
  Random random(2);
  core::ThreadPool pool(1);
  for (int storage = 0; storage < 4; ++storage) {
    const int64_t n = 37;
    const int64_t k = 259;
    const PackedMatrix weight = RandomPacked(random, static_cast<Storage>(storage), n, k, pool);
    const std::vector<float> x = RandomFloats(random, k);
    const InputType input = FloatInput(weight.storage());
    const auto got = RunMatMul(ScalarTable(), weight, x, 1, nullptr, input, pool);
    std::vector<float> row(static_cast<size_t>(k));
    for (int64_t i = 0; i < n; ++i) {
      weight.UnpackRow(i, row);
      double exact = 0;
      double magnitude = 0;
      for (size_t j = 0; j < row.size(); ++j) {
        exact += static_cast<double>(row[j]) * x[j];
        magnitude += std::fabs(static_cast<double>(row[j]) * x[j]);
      }
      const double bound =
          input == InputType::kF32 ? magnitude * (k + 3) * 0x1p-24 : SplitBound(row, x, magnitude);
      EXPECT_NEAR(got[static_cast<size_t>(i)], exact, bound);
    }
  }
}

TEST(MatMul, ARowDoesNotDependOnTheOthers) {
  TableGuard guard;
  Random random(3);
  core::ThreadPool one(1);
  core::ThreadPool two(2);
  const int64_t k = 130;
  const int64_t rows = 200;
  for (int storage = 0; storage < 4; ++storage) {
    const PackedMatrix weight = RandomPacked(random, static_cast<Storage>(storage), 75, k, two);
    const std::vector<float> x = RandomFloats(random, rows * k);
    const InputType input = FloatInput(weight.storage());
    for (const KernelTable* table : RunnableTables()) {
      const auto all = RunMatMul(*table, weight, x, rows, nullptr, input, two);
      for (int64_t row : {int64_t{0}, int64_t{127}, int64_t{128}, int64_t{199}}) {
        const std::vector<float> alone_x(x.begin() + row * k, x.begin() + (row + 1) * k);
        const auto alone = RunMatMul(*table, weight, alone_x, 1, nullptr, input, one);
        ExpectSameBits(alone,
                       {all.begin() + row * weight.n(), all.begin() + (row + 1) * weight.n()},
                       table->isa);
      }
    }
  }
}

TEST(MatMul, ANormOnTheWayEqualsOneBefore) {
  const TableGuard guard;
  core::ThreadPool pool(2);
  Random random(12);
  constexpr int64_t kRows = 37;
  constexpr int64_t kInputs = 202;
  const PackedMatrix codes = RandomPacked(random, Storage::kI8, 75, kInputs, pool);
  const PackedMatrix floats = RandomPacked(random, Storage::kF32, 75, kInputs, pool);
  const std::vector<float> x = RandomFloats(random, kRows * kInputs);
  const std::vector<float> norm = RandomFloats(random, kInputs);
  std::vector<float> normed(x.size());
  std::vector<float> want(kRows * 75);
  std::vector<float> got(kRows * 75);
  int compared = 0;
  for (const KernelTable* table : RunnableTables()) {
    ForceTable(*table);
    RmsNorm(x.data(), norm.data(), kRows, kInputs, 1e-5F, normed.data(), pool);
    for (int i = 0; i < kInputCount; ++i) {
      const auto input = static_cast<InputType>(i);
      const PackedMatrix& weight = input == InputType::kF32 ? floats : codes;
      if (FindMatMul(input, weight) == nullptr) continue;
      for (const bool round : {false, true}) {
        Activations activations;
        activations.Assign(normed.data(), kRows, kInputs, input, pool, {.round_to_bf16 = round});
        const Product before{&weight, nullptr, want.data(), nullptr};
        MatMul(activations, {&before, 1}, pool);
        activations.Assign(x.data(), kRows, kInputs, input, pool,
                           {.norm = {norm.data(), 1e-5F}, .round_to_bf16 = round});
        const Product on_the_way{&weight, nullptr, got.data(), nullptr};
        MatMul(activations, {&on_the_way, 1}, pool);
        ExpectSameBits(got, want, table->isa);
        ++compared;
      }
    }
  }
  EXPECT_GE(compared, 6);
}

// Which of the two a CPU takes is its own; both must be right on all.
TEST(MatMul, FewRowsAreTheSameInOneStreamAndInStrands) {
  struct Case {
    InputType type;
    Storage storage;
    int64_t rows;
  };
  constexpr Case kCases[] = {
      {InputType::kI8, Storage::kI8, 1},   {InputType::kI8, Storage::kI8, 2},
      {InputType::kI8, Storage::kI8, 3},   {InputType::kI8, Storage::kI8, 4},
      {InputType::kI8, Storage::kI8, 5},   {InputType::kI24, Storage::kI8, 1},
      {InputType::kF32, Storage::kF16, 1},
  };
  constexpr int64_t kFeatures = 75;
  core::ThreadPool pool(1);
  Random random(17);
  FloatBuffer scratch;
  for (const KernelTable* table : RunnableTables()) {
    for (const auto& [type, storage, rows] : kCases) {
      if (table->tiled_from[static_cast<int>(type)] == 1) continue;
      for (const int64_t k : {3, 60, 64, 130, 576}) {
        const PackedMatrix weight = RandomPacked(random, storage, kFeatures, k, pool);
        const std::vector<float> x = RandomFloats(random, rows * k);
        const TableGuard guard;
        ForceTable(*table);
        Activations activations;
        activations.Assign(x.data(), rows, k, type, pool);
        std::vector<float> want(static_cast<size_t>(rows * kFeatures));
        const Product product{&weight, nullptr, want.data(), nullptr};
        MatMul(activations, {&product, 1}, pool);
        for (const bool strands : {false, true}) {
          std::vector<float> got(want.size());
          for (int64_t p = 0; p < weight.panels(); ++p) {
            const auto first = static_cast<size_t>(p * kPanelFeatures);
            MatMulPiece piece = {};
            piece.x = activations.row(0);
            piece.x_stride_bytes = activations.stride_bytes();
            piece.tiled = activations.tiled();
            if (storage == Storage::kI8) {
              piece.x_scales = activations.scales();
              piece.offsets = weight.offsets().data() + first;
              piece.scales = weight.scales().data() + first;
            }
            piece.rows = rows;
            piece.weight = weight.panel(p);
            piece.blocks = weight.panel_blocks(p);
            piece.columns = std::min(piece.blocks * kBlockFeatures, kFeatures - p * kPanelFeatures);
            piece.k = k;
            piece.out = got.data() + first;
            piece.out_stride = kFeatures;
            piece.scratch = scratch.Reserve(kPieceScratch);
            piece.strands = strands;
            FindMatMul(type, weight)->run(piece);
          }
          ExpectSameBits(got, want, table->isa);
        }
      }
    }
  }
}

TEST(Read, SeesEveryFloatAtOnePlaceAndInStrands) {
  for (const KernelTable* table : RunnableTables()) {
    for (const int64_t n : {64, 256, 576}) {
      std::vector<float> x(static_cast<size_t>(n));
      for (float& at : x) {
        at = 1;
        EXPECT_EQ(table->read(x.data(), n, false), 1) << table->isa << " " << &at - x.data();
        EXPECT_EQ(table->read(x.data(), n, true), 1) << table->isa << " " << &at - x.data();
        at = 0;
      }
    }
  }
}

TEST(MatMul, AWrongScaleIsSeen) {
  TableGuard guard;
  Random random(4);
  core::ThreadPool pool(1);
  tensor::QuantizedTensor codes = RandomCodes(random, 20, 40, false);
  const std::vector<float> x = RandomFloats(random, 40);
  const auto right = RunMatMul(ScalarTable(), PackedMatrix::Pack(codes, pool), x, 1, nullptr,
                               InputType::kI24, pool);
  codes.scales[7] *= 2;
  const auto wrong = RunMatMul(*RunnableTables().front(), PackedMatrix::Pack(codes, pool), x, 1,
                               nullptr, InputType::kI24, pool);
  EXPECT_NE(right[7], wrong[7]);
  EXPECT_EQ(right[6], wrong[6]);
}

TEST(MatMul, TheCounterNamesTheEntryThatRan) {
  TableGuard guard;
  Random random(5);
  core::ThreadPool pool(1);
  const PackedMatrix weight = RandomPacked(random, Storage::kI8, 32, 64, pool);
  const std::vector<float> x = RandomFloats(random, 64);
  std::vector<float> out(32);
  for (const KernelTable* table : RunnableTables()) {
    for (const InputType input : {InputType::kI24, InputType::kI8}) {
      CallCounter counter;
      ForceTable(*table);
      Activations activations;
      activations.Assign(x.data(), 1, 64, input, pool);
      const Product product{&weight, nullptr, out.data(), &counter};
      MatMul(activations, {&product, 1}, pool);
      MatMul(activations, {&product, 1}, pool);
      EXPECT_EQ(counter.entry.load(),
                &table->matmul[static_cast<int>(input)][static_cast<int>(Storage::kI8)]);
      EXPECT_STREQ(counter.entry.load()->isa, table->isa);
      EXPECT_EQ(counter.calls.load(), 2);
      EXPECT_EQ(counter.weight_bytes.load(), 2 * (32 * 64 + 32 * 8));
    }
  }
}

TEST(MatMul, AGroupOfProductsEqualsThemOneByOne) {
  TableGuard guard;
  Random random(10);
  core::ThreadPool pool(2);
  const PackedMatrix a = RandomPacked(random, Storage::kI8, 130, 70, pool);
  const PackedMatrix b = RandomPacked(random, Storage::kI8, 17, 70, pool);
  const PackedMatrix c = RandomPacked(random, Storage::kI8, 64, 70, pool);
  const int64_t rows = 9;
  const std::vector<float> x = RandomFloats(random, rows * 70);
  std::vector<std::vector<float>> outs = {std::vector<float>(9 * 130), std::vector<float>(9 * 17),
                                          std::vector<float>(9 * 64)};
  Activations activations;
  activations.Assign(x.data(), rows, 70, InputType::kI24, pool);
  const Product products[] = {{&a, nullptr, outs[0].data(), nullptr},
                              {&b, nullptr, outs[1].data(), nullptr},
                              {&c, nullptr, outs[2].data(), nullptr}};
  MatMul(activations, products, pool);
  for (size_t i = 0; i < 3; ++i) {
    ExpectSameBits(
        outs[i],
        RunMatMul(ActiveTable(), *products[i].weight, x, rows, nullptr, InputType::kI24, pool),
        "group");
  }
}

TEST(MatMul, AGatedProductEqualsItsPartsOneByOne) {
  TableGuard guard;
  Random random(12);
  core::ThreadPool pool(2);
  struct Shape {
    int64_t rows;
    int64_t n;
    int64_t k;
  };
  // A part of a block and of a tile; whole ones; more inputs than tiles take in one pass.
  for (const auto& [rows, n, k] : std::initializer_list<Shape>{
           {1, 130, 70}, {7, 130, 70}, {150, 130, 70}, {64, 64, 128}, {35, 20, 2190}}) {
    for (const InputType input : {InputType::kI24, InputType::kBf16, InputType::kI8}) {
      const PackedMatrix gate = RandomPacked(random, Storage::kI8, n, k, pool);
      const PackedMatrix up = RandomPacked(random, Storage::kI8, n, k, pool);
      const std::vector<float> gate_bias = RandomFloats(random, gate.blocks() * kBlockFeatures);
      const std::vector<float> up_bias = RandomFloats(random, up.blocks() * kBlockFeatures);
      const std::vector<float> x = RandomFloats(random, rows * k);
      for (const KernelTable* table : RunnableTables()) {
        if (!Has(*table, input, Storage::kI8)) continue;
        auto want = RunMatMul(*table, gate, x, rows, &gate_bias, input, pool);
        const auto upped = RunMatMul(*table, up, x, rows, &up_bias, input, pool);
        SiluMul(want.data(), upped.data(), rows, n, pool);
        Activations activations;
        activations.Assign(x.data(), rows, k, input, pool);
        std::vector<float> got(want.size());
        CallCounter counter;
        GatedMatMul(activations, {&gate, gate_bias.data(), nullptr, &counter},
                    {&up, up_bias.data(), nullptr, &counter}, got.data(), pool);
        ExpectSameBits(got, want, table->isa);
        EXPECT_EQ(counter.calls.load(), 2);
      }
    }
  }
}

// All codes at their limits and the largest K that an integer sum takes: one int16 or int32 that
// saturates would show.
TEST(MatMul, ExtremeCodesAndTheLargestKDoNotOverflow) {
  TableGuard guard;
  core::ThreadPool pool(1);
  const int64_t k = kMaxIntegerInputs;
  for (const int weight_code : {-128, 127}) {
    for (const float sign : {1.0F, -1.0F}) {
      tensor::QuantizedTensor codes{
          16,
          k,
          8,
          k,
          tensor::DType::kF32,
          std::vector<int8_t>(static_cast<size_t>(16 * k), static_cast<int8_t>(weight_code)),
          std::vector<float>(16, 1.0F)};
      const PackedMatrix weight = PackedMatrix::Pack(codes, pool);
      const std::vector<float> x(static_cast<size_t>(k), sign * 127.0F);
      const auto exact = static_cast<float>(sign * 127.0 * weight_code * static_cast<double>(k));
      for (const KernelTable* table : RunnableTables()) {
        const auto got = RunMatMul(*table, weight, x, 1, nullptr, InputType::kI8, pool);
        for (const float value : got) EXPECT_EQ(value, exact) << table->isa;
      }
      // All three codes near their limits, but for the row's largest input.
      std::vector<float> split(static_cast<size_t>(k), sign * 126.498F);
      split[0] = 127;
      const double sum = weight_code * (127 + sign * 126.498 * static_cast<double>(k - 1));
      const auto want = RunMatMul(ScalarTable(), weight, split, 1, nullptr, InputType::kI24, pool);
      EXPECT_NEAR(want[0], sum, std::fabs(sum) * 1e-6);
      for (const KernelTable* table : RunnableTables()) {
        ExpectSameBits(RunMatMul(*table, weight, split, 1, nullptr, InputType::kI24, pool), want,
                       table->isa);
      }
    }
  }
}

// int8 activations: |error| of each product <= |w| * scale / 2, and the integer sum itself is
// exact.
TEST(MatMul, QuantizedActivationsStayWithinHalfAStep) {
  TableGuard guard;
  Random random(11);
  core::ThreadPool pool(1);
  const int64_t k = 300;
  const PackedMatrix weight = RandomPacked(random, Storage::kI8, 40, k, pool);
  const std::vector<float> x = RandomFloats(random, k);
  const float step = *std::max_element(x.begin(), x.end(), [](float a, float b) {
    return std::fabs(a) < std::fabs(b);
  }) / 127;
  const auto exact = RunMatMul(ScalarTable(), weight, x, 1, nullptr, InputType::kI24, pool);
  const auto got =
      RunMatMul(*RunnableTables().front(), weight, x, 1, nullptr, InputType::kI8, pool);
  std::vector<float> row(static_cast<size_t>(k));
  for (int64_t n = 0; n < weight.n(); ++n) {
    weight.UnpackRow(n, row);
    double bound = 0;
    for (const float w : row) bound += std::fabs(static_cast<double>(w)) * std::fabs(step) * 0.5001;
    EXPECT_NEAR(got[static_cast<size_t>(n)], exact[static_cast<size_t>(n)], bound);
    EXPECT_NE(got[static_cast<size_t>(n)], exact[static_cast<size_t>(n)]);
  }
}

TEST(MatMul, AnInputThatIsNotFiniteShows) {
  TableGuard guard;
  Random random(16);
  core::ThreadPool pool(1);
  const PackedMatrix weight = RandomPacked(random, Storage::kI8, 20, 40, pool);
  std::vector<float> x = RandomFloats(random, 80);
  x[50] = INFINITY;
  for (const KernelTable* table : RunnableTables()) {
    const auto got = RunMatMul(*table, weight, x, 2, nullptr, InputType::kI24, pool);
    for (size_t i = 0; i < 20; ++i) {
      EXPECT_TRUE(std::isfinite(got[i]));
      EXPECT_TRUE(std::isnan(got[20 + i]));
    }
  }
}

TEST(Dispatch, AForcedIsaIsTheOneThatRuns) {
  for (const KernelTable* table : RunnableTables()) {
    ASSERT_EQ(setenv("OCTAVO_ISA", table->isa, 1), 0);
    EXPECT_TRUE(CheckIsaOverride().ok());
    EXPECT_STREQ(SelectTable(table->isa).value()->isa, table->isa);
  }
  ASSERT_EQ(setenv("OCTAVO_ISA", "z80", 1), 0);
  const auto status = CheckIsaOverride();
  ASSERT_FALSE(status.ok());
  EXPECT_NE(status.error().message().find("scalar"), std::string::npos);
  ASSERT_EQ(unsetenv("OCTAVO_ISA"), 0);
}

}  // namespace
}  // namespace octavo::kernels
