// Elementwise operations and codes of activations of every table against the scalar definition, bit
// for bit.

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/random.h"
#include "kernels/dispatch.h"
#include "kernels/fixture.h"

namespace octavo::kernels {
namespace {

using core::Random;

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

}  // namespace
}  // namespace octavo::kernels
