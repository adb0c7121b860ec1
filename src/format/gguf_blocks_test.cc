// The block types against the format's own arithmetic, written again one element at a time.
#include <cmath>

#include <gtest/gtest.h>

#include "core/random.h"
#include "format/gguf.h"
#include "format/gguf_builder.h"
#include "format/safetensors.h"

namespace octavo::format {
namespace {

const std::string kEveryBlockType = OCTAVO_TESTDATA "/format/block_types.gguf";

// Bits first..first+count-1 of a block, seen as one little-endian number: ggml's layouts in the
// words of its struct definitions rather than of its loops.
unsigned Bits(core::ByteSpan block, size_t first, size_t count) {
  unsigned value = 0;
  for (size_t i = 0; i < count; ++i) {
    const size_t bit = first + i;
    value |= ((std::to_integer<unsigned>(block[bit / 8]) >> (bit % 8)) & 1U) << i;
  }
  return value;
}
unsigned BitsAt(core::ByteSpan block, size_t byte, size_t bit, size_t count) {
  return Bits(block, byte * 8 + bit, count);
}
float Half(core::ByteSpan block, size_t byte) {
  return tensor::F16ToFloat(static_cast<uint16_t>(BitsAt(block, byte, 0, 16)));
}
int Signed(core::ByteSpan block, size_t byte) {
  const auto bits = static_cast<int>(BitsAt(block, byte, 0, 8));
  return bits < 128 ? bits : bits - 256;
}
// The nibble of element e where 2 * run elements share `run` bytes.
unsigned Nibble(core::ByteSpan block, size_t byte, size_t e, size_t run) {
  return BitsAt(block, byte + e / (2 * run) * run + e % run, e % (2 * run) < run ? 0 : 4, 4);
}

// Element e of a block, as ggml-common.h and ggml-quants.c define it.
float Value(GgufType type, core::ByteSpan block, size_t e) {
  const float d = Half(block, type == GgufType::kQ6_K ? 208 : 0);
  const auto sub = e / 32;
  const auto six_bits = [&](bool minimum) {  // get_scale_min_k4
    const size_t at = 4;
    if (sub < 4) return BitsAt(block, at + sub + (minimum ? 4 : 0), 0, 6);
    const unsigned low = BitsAt(block, at + sub + 4, minimum ? 4 : 0, 4);
    return low | BitsAt(block, at + sub - (minimum ? 0 : 4), 6, 2) << 4;
  };
  const auto with_min = [&](unsigned q) {
    const float scale = d * static_cast<float>(six_bits(false));
    const float min = Half(block, 2) * static_cast<float>(six_bits(true));
    return scale * static_cast<float>(q) - min;
  };
  switch (type) {
    case GgufType::kQ5_0: {
      const unsigned q = Nibble(block, 6, e, 16) | BitsAt(block, 2, e, 1) << 4;
      return (static_cast<float>(q) - 16.0F) * d;
    }
    case GgufType::kQ5_1: {
      const unsigned q = Nibble(block, 8, e, 16) | BitsAt(block, 4, e, 1) << 4;
      return static_cast<float>(q) * d + Half(block, 2);
    }
    case GgufType::kQ4_K:
      return with_min(Nibble(block, 16, e, 32));
    case GgufType::kQ5_K:
      return with_min(Nibble(block, 48, e, 32) | BitsAt(block, 16 + e % 32, sub, 1) << 4);
    case GgufType::kQ6_K: {
      const size_t half = e / 128;
      const unsigned low = Nibble(block, 64 * half, e % 128, 64);
      const unsigned high = BitsAt(block, 128 + 32 * half + e % 32, 2 * (sub % 4), 2);
      const float scale = d * static_cast<float>(Signed(block, 192 + e / 16));
      return scale * (static_cast<float>(low | high << 4) - 32.0F);
    }
    default:
      return NAN;
  }
}

constexpr GgufType kBlockTypes[] = {GgufType::kQ5_0, GgufType::kQ5_1, GgufType::kQ4_K,
                                    GgufType::kQ5_K, GgufType::kQ6_K};

TEST(GgufBlocks, EqualTheFormatElementByElement) {
  core::Random random(7);
  for (const GgufType type : kBlockTypes) {
    const GgufBlock& block = BlockOf(type);
    std::vector<std::byte> bytes(static_cast<size_t>(block.bytes));
    std::vector<float> values(static_cast<size_t>(block.elements));
    for (int trial = 0; trial < 200; ++trial) {
      for (std::byte& b : bytes) b = static_cast<std::byte>(random.Next());
      const GgufTensor tensor = {"t", type, {block.elements}, bytes};
      GgufDequantize(tensor, 0, values);
      for (size_t e = 0; e < values.size(); ++e) {
        const float want = Value(type, bytes, e);
        // Random halves may be NaN or infinite, and then so is the value.
        ASSERT_TRUE(values[e] == want || (std::isnan(values[e]) && std::isnan(want)))
            << block.name << " element " << e << ": " << values[e] << ", expected " << want;
      }
    }
  }
}

TEST(GgufBlocks, EqualTheReferenceImplementation) {
  const auto opened = GgufFile::Open(kEveryBlockType);
  ASSERT_TRUE(opened.ok()) << opened.error().message();
  const auto expected =
      SafetensorsFile::Open(OCTAVO_TESTDATA "/format/block_types_expected.safetensors");
  ASSERT_TRUE(expected.ok()) << expected.error().message();
  ASSERT_EQ(opened.value().tensors().size(), std::size(kBlockTypes));
  for (const GgufTensor& tensor : opened.value().tensors()) {
    const tensor::TensorView* want = expected.value().Find(tensor.name);
    ASSERT_NE(want, nullptr) << tensor.name;
    ASSERT_EQ(tensor.shape, want->shape) << tensor.name;
    std::vector<float> want_values(static_cast<size_t>(want->elements()));
    tensor::ConvertToFloat(want->dtype, want->bytes, want_values);
    std::vector<float> values(want_values.size());
    GgufDequantize(tensor, 0, values);
    EXPECT_EQ(values, want_values) << tensor.name;
    // A block from the middle is the same block.
    const int64_t elements = BlockOf(tensor.type).elements;
    std::vector<float> piece(static_cast<size_t>(elements));
    GgufDequantize(tensor, 3 * elements, piece);
    EXPECT_TRUE(std::equal(piece.begin(), piece.end(), want_values.begin() + 3 * elements));
  }
}

TEST(GgufBlocks, EveryTruncationIsAnError) {
  const std::string file = core::ReadFile(kEveryBlockType).value();
  const auto whole = GgufFile::Parse(core::AsBytes(std::string_view(file)));
  ASSERT_TRUE(whole.ok());
  const core::ByteSpan last = whole.value().tensors().back().bytes;
  const auto end = static_cast<size_t>(core::AsText(last).data() + last.size() - file.data());
  for (size_t length = 0; length < end; ++length) {
    const std::vector<char> cut(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(length));
    const auto parsed = GgufFile::Parse(core::AsBytes(std::string_view(cut.data(), cut.size())));
    ASSERT_FALSE(parsed.ok()) << length;
  }
}

TEST(GgufBlocks, RowsAreWholeBlocks) {
  const auto error = [](GgufType type, int64_t row) {
    const std::string file = GgufBuilder().Tensor("a", type, {row}, "").Build();
    const auto parsed = GgufFile::Parse(core::AsBytes(std::string_view(file)));
    return parsed.ok() ? "parsed" : parsed.error().message();
  };
  EXPECT_NE(error(GgufType::kQ4_K, 128).find("no multiple of the 256 of a Q4_K block"),
            std::string::npos);
  EXPECT_NE(error(GgufType::kQ6_K, 256).find("takes 210 bytes"), std::string::npos);
  EXPECT_NE(error(GgufType::kQ5_0, 16).find("no multiple of the 32"), std::string::npos);
}

}  // namespace
}  // namespace octavo::format
