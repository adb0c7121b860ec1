// Every table against the scalar definition, bit for bit, over random and awkward shapes; and the
// definition against plain double arithmetic on the unpacked weights.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "core/random.h"
#include "kernels/dispatch.h"
#include "kernels/elementwise.h"
#include "kernels/matmul.h"
#include "kernels/scratch.h"
#include "tensor/quant_spec.h"

namespace octavo::kernels {
namespace {

using core::Random;

std::vector<float> RandomFloats(Random& random, int64_t count, float spread = 1.0F) {
  std::vector<float> out(static_cast<size_t>(count));
  for (float& x : out) x = static_cast<float>(random.Normal()) * spread;
  return out;
}

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

std::vector<const KernelTable*> RunnableTables() {
  std::vector<const KernelTable*> out;
  for (const KernelTable* table : AllTables()) {
    if (table->supported(HostCpu())) out.push_back(table);
  }
  return out;
}

void ExpectSameBits(const std::vector<float>& got, const std::vector<float>& want,
                    const std::string& what) {
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < got.size(); ++i) {
    ASSERT_EQ(std::bit_cast<uint32_t>(got[i]), std::bit_cast<uint32_t>(want[i]))
        << what << " at " << i << ": " << got[i] << " against " << want[i];
  }
}

class TableGuard {
 public:
  ~TableGuard() { ForceTable(*RunnableTables().front()); }
};

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
  for (const int64_t rows : {1, 7, 150}) {
    for (const InputType input : {InputType::kI24, InputType::kBf16, InputType::kI8}) {
      const PackedMatrix gate = RandomPacked(random, Storage::kI8, 130, 70, pool);
      const PackedMatrix up = RandomPacked(random, Storage::kI8, 130, 70, pool);
      const std::vector<float> x = RandomFloats(random, rows * 70);
      for (const KernelTable* table : RunnableTables()) {
        if (!Has(*table, input, Storage::kI8)) continue;
        auto want = RunMatMul(*table, gate, x, rows, nullptr, input, pool);
        const auto upped = RunMatMul(*table, up, x, rows, nullptr, input, pool);
        SiluMul(want.data(), upped.data(), rows, 130, pool);
        Activations activations;
        activations.Assign(x.data(), rows, 70, input, pool);
        std::vector<float> got(want.size());
        CallCounter counter;
        GatedMatMul(activations, {&gate, nullptr, nullptr, &counter},
                    {&up, nullptr, nullptr, &counter}, got.data(), pool);
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

struct AttentionCase {
  std::vector<float> q;
  std::vector<float> k;  // [positions, D], as they were before they were stored
  std::vector<float> v;
  std::vector<std::byte> kv;
  std::vector<int32_t> blocks;
  AttentionPiece piece;
};

int64_t Positions(const AttentionPiece& p) {
  return p.first_position + p.rows;
}

// Stores keys and values block by block, in pieces of random length.
void FillKv(Random& random, const KernelTable& table, AttentionCase& c) {
  const AttentionPiece& p = c.piece;
  KvStorePiece store;
  store.stride = p.head_dim;
  store.head_dim = p.head_dim;
  store.storage = p.storage;
  for (int64_t at = 0; at < Positions(p); at += store.rows) {
    store.slot = at % kKvPositions;
    store.rows = 1 + static_cast<int64_t>(random.Below(kKvPositions));
    store.rows = std::min({store.rows, kKvPositions - store.slot, Positions(p) - at});
    store.k = c.k.data() + at * p.head_dim;
    store.v = c.v.data() + at * p.head_dim;
    std::byte* block =
        c.kv.data() + c.blocks[static_cast<size_t>(at / kKvPositions)] * p.block_bytes;
    store.keys = block;
    store.values = block + p.block_bytes / 2;
    table.attention.store(store);
  }
}

AttentionCase RandomAttention(Random& random) {
  AttentionCase out;
  AttentionPiece& p = out.piece;
  p.head_dim = 16 * (1 + static_cast<int64_t>(random.Below(16)));
  p.heads = 1 + static_cast<int64_t>(random.Below(4));
  p.rows =
      1 + static_cast<int64_t>(random.Below(static_cast<uint64_t>(kAttentionQueries / p.heads)));
  if (random.Below(3) == 0) p.rows = 1;
  p.first_position = static_cast<int64_t>(random.Below(random.Below(3) == 0 ? 1500 : 300));
  p.window = random.Below(2) == 0
                 ? 0
                 : 1 + static_cast<int64_t>(random.Below(random.Below(2) == 0 ? 150 : 900));
  p.scale = 1.0F / std::sqrt(static_cast<float>(p.head_dim));
  p.storage = static_cast<KvStorage>(random.Below(3));
  p.q_stride = p.heads * p.head_dim + 3;
  p.out_stride = p.heads * p.head_dim + 5;
  out.q = RandomFloats(random, p.rows * p.q_stride, 2.0F);
  out.k = RandomFloats(random, Positions(p) * p.head_dim);
  out.v = RandomFloats(random, Positions(p) * p.head_dim);
  const int64_t blocks = (Positions(p) + kKvPositions - 1) / kKvPositions;
  for (int64_t i = 0; i < blocks; ++i) out.blocks.push_back(static_cast<int32_t>(blocks - 1 - i));
  p.block_bytes = 2 * KvPartBytes(p.storage, p.head_dim);
  out.kv.resize(static_cast<size_t>(blocks * p.block_bytes));
  p.keys = out.kv.data();
  p.values = out.kv.data() + p.block_bytes / 2;
  p.blocks = out.blocks.data();
  p.q = out.q.data();
  FillKv(random, ScalarTable(), out);
  return out;
}

std::vector<float> RunAttention(const KernelTable& table, AttentionPiece piece) {
  std::vector<float> out(static_cast<size_t>(piece.rows * piece.out_stride), 0.0F);
  FloatBuffer scratch;
  piece.out = out.data();
  piece.scratch = scratch.Reserve(kAttentionScratch);
  table.attention.attend(piece);
  return out;
}

// The same in partitions, which are computed from the last to the first.
std::vector<float> RunPartitions(const KernelTable& table, AttentionPiece piece) {
  std::vector<float> out(static_cast<size_t>(piece.rows * piece.out_stride), 0.0F);
  FloatBuffer scratch;
  piece.out = out.data();
  piece.scratch = scratch.Reserve(kAttentionScratch);
  piece.partitions = (Positions(piece) - 1) / kPartitionPositions + 1;
  const int64_t floats = piece.rows * piece.heads * (piece.head_dim + kPartialTail);
  std::vector<float> partials(static_cast<size_t>(piece.partitions * floats), NAN);
  for (piece.partition = piece.partitions - 1; piece.partition >= 0; --piece.partition) {
    piece.partial = partials.data() + piece.partition * floats;
    table.attention.attend(piece);
  }
  piece.partial = partials.data();
  table.attention.merge(piece);
  return out;
}

TEST(Attention, EveryTableStoresTheSameBits) {
  Random random(16);
  for (int trial = 0; trial < 100; ++trial) {
    AttentionCase c = RandomAttention(random);
    if (trial % 3 == 0) {
      // Rows of zeros, and scales at both ends of F16.
      std::fill_n(c.k.begin(), c.piece.head_dim, 0.0F);
      std::fill_n(c.v.begin(), c.piece.head_dim, 1e-9F);
      c.k.back() = trial % 2 == 0 ? 3e7F : 1e-6F;
      FillKv(random, ScalarTable(), c);
    }
    const std::vector<std::byte> want = c.kv;
    for (const KernelTable* table : RunnableTables()) {
      std::fill(c.kv.begin(), c.kv.end(), std::byte{0});
      FillKv(random, *table, c);
      EXPECT_TRUE(c.kv == want) << table->isa << " trial " << trial;
    }
  }
}

// The transform of keys as kI8, from its matrix: entries are 1 or -1 by the parity of the bits that
// row and column share.
std::vector<float> HadamardOf(const float* x, int64_t head_dim) {
  std::vector<float> out;
  const int64_t size = HadamardSize(head_dim);
  for (int64_t i = 0; i < head_dim; ++i) {
    double sum = 0;
    for (int64_t j = i / size * size; j < i / size * size + size; ++j) {
      const bool odd = std::popcount(static_cast<uint64_t>(i & j & (size - 1))) % 2 != 0;
      sum += odd ? -x[j] : x[j];
    }
    out.push_back(static_cast<float>(sum));
  }
  return out;
}

// What was stored at a position, as f32; keys that are codes as they were transformed.
std::vector<float> Stored(const AttentionCase& c, bool keys, int64_t at) {
  const AttentionPiece& p = c.piece;
  const std::byte* part = static_cast<const std::byte*>(keys ? p.keys : p.values) +
                          p.blocks[at / kKvPositions] * p.block_bytes;
  const int64_t t = at % kKvPositions;
  const int64_t count = kKvPositions * p.head_dim;
  std::vector<float> out;
  for (int64_t i = 0; i < p.head_dim; ++i) {
    const int64_t plain = keys ? i * kKvPositions + t : t * p.head_dim + i;
    const int64_t code =
        keys ? (i / 2 * kKvPositions + t) * 2 + i % 2 : (t / 2 * p.head_dim + i) * 2 + t % 2;
    if (p.storage == KvStorage::kF32) {
      out.push_back(reinterpret_cast<const float*>(part)[plain]);
    } else if (p.storage == KvStorage::kI16) {
      out.push_back(static_cast<float>(reinterpret_cast<const int16_t*>(part)[code]) *
                    reinterpret_cast<const float*>(part + 2 * count)[t]);
    } else {
      out.push_back(static_cast<float>(static_cast<int8_t>(part[code])) *
                    tensor::F16ToFloat(reinterpret_cast<const uint16_t*>(part + count)[t]));
    }
  }
  return out;
}

TEST(Attention, StoredCodesAreWithinHalfAStep) {
  Random random(17);
  for (int trial = 0; trial < 30; ++trial) {
    AttentionCase c = RandomAttention(random);
    if (c.piece.storage == KvStorage::kF32) continue;
    const KvSteps steps = StepsOf(c.piece.storage, c.piece.head_dim);
    for (int64_t at = 0; at < Positions(c.piece); ++at) {
      for (const bool keys : {true, false}) {
        const float* x = (keys ? c.k : c.v).data() + at * c.piece.head_dim;
        const std::vector<float> from =
            keys ? HadamardOf(x, c.piece.head_dim) : std::vector<float>(x, x + c.piece.head_dim);
        const std::vector<float> got = Stored(c, keys, at);
        float absmax = 0;
        for (int64_t i = 0; i < c.piece.head_dim; ++i)
          absmax = std::max(absmax, std::fabs(from[static_cast<size_t>(i)]));
        // Half a step of a scale that F16 rounds by at most 2^-11 of it; where that made the scale
        // smaller, the largest values lose up to 127 * 2^-11 of a step, which is less. Scales of
        // kI16 are f32, but HadamardOf is exact and the transform is not.
        const float bound = absmax / (keys ? steps.key : steps.value) * 0.5F * (1 + 0x1p-8F);
        for (int64_t i = 0; i < c.piece.head_dim; ++i)
          ASSERT_NEAR(got[static_cast<size_t>(i)], from[static_cast<size_t>(i)], bound);
      }
    }
  }
}

TEST(Attention, EveryTableRotatesTheSame) {
  Random random(18);
  for (int64_t head_dim = 16; head_dim <= 256; head_dim += 16) {
    const std::vector<float> x = RandomFloats(random, 3 * head_dim);
    const std::vector<float> cosine = RandomFloats(random, head_dim / 2);
    const std::vector<float> sine = RandomFloats(random, head_dim / 2);
    std::vector<float> want = x;
    ScalarTable().attention.rotate(want.data(), 3, head_dim, cosine.data(), sine.data());
    const auto half = static_cast<size_t>(head_dim / 2);
    EXPECT_EQ(want[0], x[0] * cosine[0] - x[half] * sine[0]);
    EXPECT_EQ(want[half], x[half] * cosine[0] + x[0] * sine[0]);
    for (const KernelTable* table : RunnableTables()) {
      std::vector<float> got = x;
      table->attention.rotate(got.data(), 3, head_dim, cosine.data(), sine.data());
      ExpectSameBits(got, want, table->isa);
    }
  }
}

// All codes of queries, keys, weights and values at their ends at once: the largest sums there are.
TEST(Attention, SumsOfTheLargestCodesAreExact) {
  for (const KvStorage storage : {KvStorage::kI16, KvStorage::kI8}) {
    for (const int64_t head_dim : {16, 48, 64, 80, 128, 144, 256}) {
      Random random(20);
      AttentionCase c = RandomAttention(random);
      AttentionPiece& p = c.piece;
      p.storage = storage;
      p.head_dim = head_dim;
      p.heads = 1;
      p.rows = 7;
      p.first_position = kKvPositions - p.rows;
      p.window = 0;
      p.q_stride = head_dim;
      p.out_stride = head_dim;
      p.block_bytes = 2 * KvPartBytes(storage, head_dim);
      c.blocks = {0};
      p.blocks = c.blocks.data();
      c.kv.assign(static_cast<size_t>(p.block_bytes), std::byte{0});
      p.keys = c.kv.data();
      p.values = c.kv.data() + p.block_bytes / 2;
      // One number in each transform becomes as many equal ones.
      const auto numbers = static_cast<size_t>(kKvPositions * head_dim);
      c.q.assign(numbers, 0.0F);
      c.k.assign(numbers, 0.0F);
      for (size_t i = 0; i < numbers; i += static_cast<size_t>(HadamardSize(head_dim))) {
        c.q[i] = 3;
        c.k[i] = -2;
      }
      c.v.assign(numbers, -1.5F);
      p.q = c.q.data();
      FillKv(random, ScalarTable(), c);
      const auto want = RunAttention(ScalarTable(), p);
      for (const float x : want) EXPECT_NEAR(x, -1.5F, 1e-3);
      for (const KernelTable* table : RunnableTables())
        ExpectSameBits(RunAttention(*table, p), want, table->isa);
    }
  }
}

TEST(Attention, PartitionsMergeToTheSameBits) {
  Random random(19);
  for (int trial = 0; trial < 60; ++trial) {
    const AttentionCase c = RandomAttention(random);
    for (const KernelTable* table : RunnableTables()) {
      ExpectSameBits(RunPartitions(*table, c.piece), RunAttention(*table, c.piece), table->isa);
    }
  }
}

TEST(Attention, EveryTableEqualsTheDefinition) {
  Random random(6);
  for (int trial = 0; trial < 120; ++trial) {
    const AttentionCase c = RandomAttention(random);
    const auto want = RunAttention(ScalarTable(), c.piece);
    for (const KernelTable* table : RunnableTables()) {
      ExpectSameBits(RunAttention(*table, c.piece), want,
                     std::string(table->isa) + " trial " + std::to_string(trial));
    }
  }
}

TEST(Attention, AQueryDoesNotDependOnTheOthersInThePiece) {
  Random random(7);
  for (int trial = 0; trial < 60; ++trial) {
    const AttentionCase c = RandomAttention(random);
    for (const KernelTable* table : RunnableTables()) {
      const auto all = RunAttention(*table, c.piece);
      AttentionPiece alone = c.piece;
      const int64_t row = static_cast<int64_t>(random.Below(static_cast<uint64_t>(c.piece.rows)));
      alone.q += row * alone.q_stride;
      alone.first_position += row;
      alone.rows = 1;
      const auto got = RunAttention(*table, alone);
      const int64_t width = alone.heads * alone.head_dim;
      ExpectSameBits(
          {got.begin(), got.begin() + width},
          {all.begin() + row * alone.out_stride, all.begin() + row * alone.out_stride + width},
          table->isa);
    }
  }
}

TEST(Attention, DefinitionIsSoftmaxOfScaledScores) {
  Random random(8);
  for (int trial = 0; trial < 60; ++trial) {
    const AttentionCase c = RandomAttention(random);
    const AttentionPiece& p = c.piece;
    const auto got = RunAttention(ScalarTable(), p);
    const int64_t position = Positions(p) - 1;
    std::vector<float> q(p.q + (p.rows - 1) * p.q_stride,
                         p.q + (p.rows - 1) * p.q_stride + p.head_dim);
    const int64_t first = p.window > 0 ? std::max<int64_t>(0, position - p.window + 1) : 0;
    double total = 0;
    std::vector<double> want(q.size(), 0.0);
    for (int64_t t = first; t <= position; ++t) {
      std::vector<float> k = Stored(c, true, t);
      if (p.storage != KvStorage::kF32) {
        k = HadamardOf(k.data(), p.head_dim);
        for (float& x : k) x /= static_cast<float>(HadamardSize(p.head_dim));
      }
      const std::vector<float> v = Stored(c, false, t);
      double score = 0;
      for (size_t i = 0; i < q.size(); ++i) score += static_cast<double>(k[i]) * q[i] * p.scale;
      const double weight = std::exp(score);
      total += weight;
      for (size_t i = 0; i < q.size(); ++i) want[i] += weight * v[i];
    }
    for (size_t i = 0; i < q.size(); ++i) {
      // Scores of about 2 sqrt(D) with relative error D * 2^-24 each, then a sum of up to 1600
      // terms: below 1e-4. Queries that meet codes are rounded by up to half a step, some 1e-3 of
      // their numbers' usual size at kI16, and weights by half a step of the block's largest.
      const double bound = p.storage == KvStorage::kF32 ? 1e-4 : 1e-3;
      EXPECT_NEAR(got[static_cast<size_t>((p.rows - 1) * p.out_stride) + i], want[i] / total,
                  bound);
    }
  }
}

TEST(Elementwise, EveryTableEqualsTheDefinition) {
  Random random(9);
  const KernelTable& scalar = ScalarTable();
  for (int64_t n : {1, 15, 16, 17, 33, 100, 576}) {
    std::vector<float> x = RandomFloats(random, n, 30.0F);
    if (n > 20) {
      x[3] = 200;
      x[4] = -200;
      x[5] = NAN;
      x[6] = INFINITY;
    }
    const std::vector<float> finite = RandomFloats(random, n);
    const std::vector<float> y = RandomFloats(random, n);
    std::vector<float> want(x.size());
    std::vector<float> got(x.size());
    for (const KernelTable* table : RunnableTables()) {
      scalar.rms_norm(finite.data(), y.data(), n, 1e-5F, want.data());
      table->rms_norm(finite.data(), y.data(), n, 1e-5F, got.data());
      ExpectSameBits(got, want, std::string(table->isa) + " rms_norm");
      scalar.round_to_bf16(x.data(), n, want.data());
      table->round_to_bf16(x.data(), n, got.data());
      ExpectSameBits(got, want, std::string(table->isa) + " round_to_bf16");
      std::vector<uint8_t> want_codes(x.size());
      std::vector<uint8_t> got_codes(x.size());
      float want_scale = 0;
      float got_scale = 0;
      for (const std::vector<float>& row : {finite, std::vector<float>(x.size(), 0.0F)}) {
        scalar.quantize_row(row.data(), n, want_codes.data(), &want_scale);
        table->quantize_row(row.data(), n, got_codes.data(), &got_scale);
        EXPECT_EQ(got_codes, want_codes) << table->isa;
        EXPECT_EQ(got_scale, want_scale) << table->isa;
      }
      for (const float scale : {0x1p-7F, 0.5F, 0x1p-126F, 0x1p127F}) {
        std::vector<float> row = finite;
        row[0] = scale * 1.5F;  // a tie
        scalar.quantize_row_by(row.data(), n, scale, want_codes.data());
        table->quantize_row_by(row.data(), n, scale, got_codes.data());
        EXPECT_EQ(got_codes, want_codes) << table->isa << " " << scale;
        EXPECT_EQ(want_codes[0], 130);
      }
      std::vector<uint16_t> want_bits(x.size());
      std::vector<uint16_t> got_bits(x.size());
      scalar.to_bf16(x.data(), n, want_bits.data());
      table->to_bf16(x.data(), n, got_bits.data());
      EXPECT_EQ(got_bits, want_bits) << table->isa;
      want = got = finite;
      if (n > 20) want[3] = got[3] = -300;
      scalar.silu_mul(want.data(), y.data(), n, want.data());
      table->silu_mul(got.data(), y.data(), n, got.data());
      ExpectSameBits(got, want, std::string(table->isa) + " silu_mul");
    }
  }
}

TEST(Elementwise, WideningOfEveryTableEqualsTheDefinition) {
  constexpr int64_t kAll = 1 << 16;  // every number of 16 bits
  std::vector<std::byte> bytes(2 * kAll + 1);
  for (int64_t i = 0; i < kAll; ++i) {
    const auto bits = static_cast<uint16_t>(i);
    std::memcpy(bytes.data() + 1 + 2 * i, &bits, sizeof(bits));
  }
  const auto same = [](float a, float b) {
    return std::bit_cast<uint32_t>(a) == std::bit_cast<uint32_t>(b) ||
           (std::isnan(a) && std::isnan(b));
  };
  for (const KernelTable* table : RunnableTables()) {
    for (const auto widen : {&KernelTable::widen_f16, &KernelTable::widen_bf16}) {
      // From 1.5 on in steps that meet each remainder of 16, and all of them.
      for (const auto& [first, n] : {std::pair<int64_t, int64_t>{0, kAll},
                                     {0x3E00, 1},
                                     {0x3E00, 15},
                                     {0xBE00, 16},
                                     {0x03F0, 33},
                                     {0x7BFF, 1},
                                     {0x7C00, 1}}) {
        std::vector<float> want(static_cast<size_t>(n));
        std::vector<float> got(static_cast<size_t>(n));
        const std::byte* x = bytes.data() + 1 + 2 * first;
        const float want_largest = (ScalarTable().*widen)(x, n, want.data());
        const float got_largest = (table->*widen)(x, n, got.data());
        EXPECT_TRUE(same(got_largest, want_largest)) << table->isa << " " << first << " " << n;
        for (size_t i = 0; i < want.size(); ++i)
          ASSERT_TRUE(same(got[i], want[i])) << table->isa << " " << first << " " << i;
      }
    }
    float out = 0;
    const uint16_t half = 0xC000;
    EXPECT_EQ(table->widen_f16(&half, 1, &out), 2.0F);
    EXPECT_EQ(out, -2.0F);
  }
}

TEST(Elementwise, SplitRowsOfEveryTableEqualTheDefinition) {
  Random random(15);
  for (const int64_t n : {1, 15, 16, 17, 33, 100, 576}) {
    const auto stride = n + 5;
    std::vector<std::vector<float>> rows = {RandomFloats(random, n), RandomFloats(random, n, 1e20F),
                                            std::vector<float>(static_cast<size_t>(n), 0.0F)};
    for (const float bad : {NAN, -INFINITY}) {
      rows.push_back(rows[0]);
      rows.back()[static_cast<size_t>(n / 2)] = bad;
    }
    for (const std::vector<float>& x : rows) {
      std::vector<uint8_t> want(static_cast<size_t>(3 * stride), 7);
      float want_scale = 0;
      ScalarTable().split_row(x.data(), n, want.data(), stride, &want_scale);
      for (const KernelTable* table : RunnableTables()) {
        std::vector<uint8_t> got(want.size(), 7);
        float got_scale = 0;
        table->split_row(x.data(), n, got.data(), stride, &got_scale);
        EXPECT_EQ(got, want) << table->isa;
        EXPECT_EQ(std::bit_cast<uint32_t>(got_scale), std::bit_cast<uint32_t>(want_scale));
      }
      const bool finite = std::all_of(x.begin(), x.end(), [](float v) { return std::isfinite(v); });
      EXPECT_EQ(std::isnan(want_scale), !finite);
      if (!finite) continue;
      for (int64_t i = 0; i < n; ++i) {
        double value = 0;
        for (int64_t part = 0; part < 3; ++part) {
          const int code = want[static_cast<size_t>(part * stride + i)] - 128;
          EXPECT_LE(std::abs(code), 127);
          value = value * kRadix + code;
        }
        EXPECT_NEAR(value * want_scale, x[static_cast<size_t>(i)], want_scale * 1.5);
      }
    }
  }
}

TEST(Elementwise, SignedCodesOfEveryTableEqualTheDefinition) {
  Random random(20);
  for (const int64_t sum_inputs : {4, 12, 16, 20, 32, 100, 128}) {
    for (const int64_t count : {1, 3, 40}) {
      const int64_t n = count * sum_inputs;
      std::vector<uint8_t> codes(static_cast<size_t>(n));
      for (uint8_t& code : codes) code = static_cast<uint8_t>(1 + random.Below(255));
      std::vector<int8_t> want(codes.size() + 1, 9);  // what lies behind stays
      std::vector<int32_t> want_sums(static_cast<size_t>(count));
      ScalarTable().sign_codes(codes.data(), n, sum_inputs, want.data(), want_sums.data());
      EXPECT_EQ(want[0], codes[0] - 128);
      for (const KernelTable* table : RunnableTables()) {
        std::vector<int8_t> got(want.size(), 9);
        std::vector<int32_t> got_sums(want_sums.size());
        table->sign_codes(codes.data(), n, sum_inputs, got.data(), got_sums.data());
        EXPECT_EQ(got, want) << table->isa << " " << sum_inputs;
        EXPECT_EQ(got_sums, want_sums) << table->isa << " " << sum_inputs;
      }
    }
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

TEST(Elementwise, SiluIsWithinItsBound) {
  for (int i = -540; i < 540; ++i) {
    const float x = 0.037F * static_cast<float>(i);
    float gate = x;
    const float one = 1;
    AllTables().back()->silu_mul(&gate, &one, 1, &gate);
    const double want = static_cast<double>(x) / (1 + std::exp(-static_cast<double>(x)));
    EXPECT_NEAR(gate, want, std::fabs(want) * 1e-6 + 1e-12);
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
