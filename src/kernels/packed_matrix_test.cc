#include "kernels/packed_matrix.h"

#include <algorithm>
#include <bit>
#include <vector>

#include <gtest/gtest.h>

#include "core/random.h"
#include "kernels/fixture.h"

namespace octavo::kernels {
namespace {

using core::Random;

// Rows as a file would bring them: one or two panels at a time, from memory that the next ones
// overwrite.
class Pieces {
 public:
  Pieces(core::ByteSpan all, int64_t row_bytes) : left_(all), row_bytes_(row_bytes) {}

  core::Result<core::ByteSpan> Next() {
    const size_t panels = 1 + calls_++ % 2;
    const auto wanted = panels * static_cast<size_t>(kPanelFeatures * row_bytes_);
    const core::ByteSpan piece = left_.first(std::min(wanted, left_.size()));
    left_ = left_.subspan(piece.size());
    std::fill(memory_.begin(), memory_.end(), std::byte{0xEE});
    memory_.assign(piece.begin(), piece.end());
    return core::ByteSpan(memory_);
  }

 private:
  core::ByteSpan left_;
  int64_t row_bytes_;
  size_t calls_ = 0;
  std::vector<std::byte> memory_;
};

std::vector<std::byte> BytesOf(const PackedMatrix& packed) {
  std::vector<std::byte> out;
  for (int64_t p = 0; p < packed.panels(); ++p) {
    const std::byte* panel = packed.panel(p);
    out.insert(out.end(), panel, panel + packed.panel_blocks(p) * packed.block_bytes());
  }
  return out;
}

TEST(PackedMatrix, PiecesGiveWhatTheWholeGives) {
  Random random(11);
  core::ThreadPool pool(2);
  for (int round = 0; round < 60; ++round) {
    const auto n = static_cast<int64_t>(1 + random.Below(400));
    const auto k = static_cast<int64_t>(1 + random.Below(700));
    for (const tensor::DType dtype :
         {tensor::DType::kF32, tensor::DType::kF16, tensor::DType::kBF16}) {
      std::vector<std::byte> bytes(static_cast<size_t>(n * k) * tensor::DTypeSize(dtype));
      tensor::ConvertFromFloat(RandomFloats(random, n * k), dtype, bytes);
      const auto row_bytes = k * static_cast<int64_t>(tensor::DTypeSize(dtype));
      const PackedMatrix whole = PackedMatrix::Pack({dtype, {n, k}, bytes}, pool);
      Pieces pieces(bytes, row_bytes);
      const auto next = [&] { return pieces.Next(); };
      const PackedMatrix parts =
          PackedMatrix::Pack({dtype, {n, k}, {}}, {row_bytes, next}, pool).value();
      ASSERT_EQ(BytesOf(parts), BytesOf(whole)) << n << " x " << k;
      std::vector<float> row(static_cast<size_t>(k));
      std::vector<float> want(static_cast<size_t>(k));
      const auto last = static_cast<size_t>((n - 1) * row_bytes);
      tensor::ConvertToFloat(dtype, core::ByteSpan(bytes).subspan(last), want);
      parts.UnpackRow(n - 1, row);
      ExpectSameBits(row, want, "the last row");
    }
  }
}

// Sums of all codes -128 or all 127 are the largest that a piece of a row adds up.
TEST(PackedMatrix, CodesComeInPiecesAndAreAddedUp) {
  Random random(12);
  core::ThreadPool pool(2);
  for (int round = 0; round < 60; ++round) {
    const auto n = static_cast<int64_t>(1 + random.Below(400));
    const auto k = static_cast<int64_t>(1 + random.Below(1500));
    tensor::QuantizedTensor weight{n, k, 8, k, tensor::DType::kF32, {}, {}};
    weight.scales.assign(static_cast<size_t>(n), 0.5F);
    for (int64_t i = 0; i < n; ++i) {
      const uint64_t kind = random.Below(3);
      for (int64_t j = 0; j < k; ++j) {
        const int code = kind == 0   ? -128
                         : kind == 1 ? 127
                                     : static_cast<int>(random.Below(256)) - 128;
        weight.codes.push_back(static_cast<int8_t>(code));
      }
    }
    const PackedMatrix whole = PackedMatrix::Pack(weight, pool);
    const std::vector<int8_t> codes = std::exchange(weight.codes, {});
    Pieces plain(std::as_bytes(std::span(codes)), k);
    const auto next_plain = [&] { return plain.Next(); };
    const PackedMatrix parts = PackedMatrix::Pack(weight, {k, next_plain}, pool).value();
    // Stored otherwise: every bit of a code turned round.
    std::vector<int8_t> turned = codes;
    for (int8_t& code : turned) code = static_cast<int8_t>(~code);
    Pieces other(std::as_bytes(std::span(turned)), k);
    const auto next_other = [&] { return other.Next(); };
    const auto decode = [&](int64_t row, core::ByteSpan bytes,
                            std::span<int8_t> out) -> core::Status {
      EXPECT_EQ(static_cast<int8_t>(bytes[0]), turned[static_cast<size_t>(row * k)]);
      for (size_t i = 0; i < out.size(); ++i)
        out[i] = static_cast<int8_t>(~static_cast<int8_t>(bytes[i]));
      return {};
    };
    const PackedMatrix decoded = PackedMatrix::Pack(weight, {k, next_other, decode}, pool).value();
    for (const PackedMatrix* packed : {&parts, &decoded}) {
      ASSERT_EQ(BytesOf(*packed), BytesOf(whole)) << n << " x " << k;
      for (int64_t i = 0; i < n; ++i) {
        int64_t sum = 0;
        for (int64_t j = 0; j < k; ++j) sum += codes[static_cast<size_t>(i * k + j)];
        ASSERT_EQ(packed->offsets()[static_cast<size_t>(i)], 128 * sum) << "row " << i;
      }
    }
  }
}

TEST(PackedMatrix, ErrorsOfTheRowsAreReturned) {
  core::ThreadPool pool(2);
  tensor::QuantizedTensor weight{300, 32, 8, 32, tensor::DType::kF32, {}, {}};
  weight.scales.assign(300, 1.0F);
  const std::vector<std::byte> bytes(300 * 32);
  Pieces pieces(bytes, 32);
  const auto next = [&] { return pieces.Next(); };
  const auto decode = [](int64_t row, core::ByteSpan, std::span<int8_t>) -> core::Status {
    if (row == 200) return core::Invalid("row 200");
    return {};
  };
  const auto bad_row = PackedMatrix::Pack(weight, {32, next, decode}, pool);
  ASSERT_FALSE(bad_row.ok());
  EXPECT_EQ(bad_row.error().message(), "row 200");

  const auto broken = []() -> core::Result<core::ByteSpan> { return core::Invalid("no disk"); };
  const auto no_disk = PackedMatrix::Pack(weight, {32, broken}, pool);
  ASSERT_FALSE(no_disk.ok());
  EXPECT_EQ(no_disk.error().message(), "no disk");
}

}  // namespace
}  // namespace octavo::kernels
