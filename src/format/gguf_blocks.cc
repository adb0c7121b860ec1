// What the block types of GGUF are worth in f32. Layouts: ggml src/ggml-common.h; arithmetic: the
// dequantize_row_* functions of ggml src/ggml-quants.c, one f32 operation at a time.
#include "core/check.h"
#include "format/gguf.h"
#include "tensor/dtype.h"

namespace octavo::format {
namespace {

constexpr size_t kSuperElements = 256;  // of a block of blocks (the "K" types)

using Block = core::ByteSpan;
using Values = std::span<float>;

float HalfAt(Block block, size_t offset) {
  return tensor::F16ToFloat(core::LoadLittle<uint16_t>(block, offset));
}
int ByteAt(Block block, size_t offset) {
  return core::LoadLittle<uint8_t>(block, offset);
}
int SignedAt(Block block, size_t offset) {
  return core::LoadLittle<int8_t>(block, offset);
}

// Q8_0: half d, 32 signed bytes; value = d * q.
void DequantizeQ8_0(Block block, Values out) {
  const float d = HalfAt(block, 0);
  for (size_t i = 0; i < kGgufBlockElements; ++i)
    out[i] = d * static_cast<float>(SignedAt(block, 2 + i));
}

// Byte i of a run of 16 holds elements i (low nibble) and i + 16 (high nibble).
struct Nibbles {
  int low;
  int high;
};
Nibbles NibblesAt(Block block, size_t offset) {
  const int byte = ByteAt(block, offset);
  return {byte & 15, byte >> 4};
}

// Q4_0: half d, 16 bytes of nibbles; value = d * (n - 8).
void DequantizeQ4_0(Block block, Values out) {
  const float d = HalfAt(block, 0);
  for (size_t i = 0; i < kGgufBlockElements / 2; ++i) {
    const Nibbles n = NibblesAt(block, 2 + i);
    out[i] = d * static_cast<float>(n.low - 8);
    out[i + kGgufBlockElements / 2] = d * static_cast<float>(n.high - 8);
  }
}

// Q4_1: half d, half m, 16 bytes of nibbles; value = d * n + m.
void DequantizeQ4_1(Block block, Values out) {
  const float d = HalfAt(block, 0);
  const float m = HalfAt(block, 2);
  for (size_t i = 0; i < kGgufBlockElements / 2; ++i) {
    const Nibbles n = NibblesAt(block, 4 + i);
    out[i] = d * static_cast<float>(n.low) + m;
    out[i + kGgufBlockElements / 2] = d * static_cast<float>(n.high) + m;
  }
}

// The fifth bits of Q5_0 and Q5_1: bit i of a little-endian word belongs to element i.
Nibbles FiveBitsAt(Block block, size_t word, size_t nibbles, size_t i) {
  const auto high = core::LoadLittle<uint32_t>(block, word);
  const Nibbles n = NibblesAt(block, nibbles + i);
  const auto bit = [&](size_t element) { return static_cast<int>((high >> element) & 1U) << 4; };
  return {n.low | bit(i), n.high | bit(i + kGgufBlockElements / 2)};
}

// Q5_0: half d, word of high bits, 16 bytes of nibbles; value = (n - 16) * d.
void DequantizeQ5_0(Block block, Values out) {
  const float d = HalfAt(block, 0);
  for (size_t i = 0; i < kGgufBlockElements / 2; ++i) {
    const Nibbles n = FiveBitsAt(block, 2, 6, i);
    out[i] = static_cast<float>(n.low - 16) * d;
    out[i + kGgufBlockElements / 2] = static_cast<float>(n.high - 16) * d;
  }
}

// Q5_1: half d, half m, word of high bits, 16 bytes of nibbles; value = n * d + m.
void DequantizeQ5_1(Block block, Values out) {
  const float d = HalfAt(block, 0);
  const float m = HalfAt(block, 2);
  for (size_t i = 0; i < kGgufBlockElements / 2; ++i) {
    const Nibbles n = FiveBitsAt(block, 4, 8, i);
    out[i] = static_cast<float>(n.low) * d + m;
    out[i + kGgufBlockElements / 2] = static_cast<float>(n.high) * d + m;
  }
}

// The scale and the minimum of sub-block j of 8, six bits each in 12 bytes: the first four in the
// low six bits of their bytes, the last four in nibbles with their high bits in the first eight
// bytes' tops.
struct ScaleMin {
  float scale;
  float min;
};
ScaleMin SixBitsAt(Block block, size_t offset, size_t j) {
  const auto s = [&](size_t i) { return ByteAt(block, offset + i); };
  if (j < 4) return {static_cast<float>(s(j) & 63), static_cast<float>(s(j + 4) & 63)};
  return {static_cast<float>((s(j + 4) & 15) | ((s(j - 4) >> 6) << 4)),
          static_cast<float>((s(j + 4) >> 4) | ((s(j) >> 6) << 4))};
}

// Q4_K and Q5_K: half d, half dmin, 12 bytes of scales and minima, (Q5_K: 32 bytes of fifth bits,)
// 128 bytes of nibbles; value = (d * scale) * n - (dmin * min). Each 32 bytes of nibbles hold two
// sub-blocks: the low nibbles the even one, the high nibbles the odd one; bit j of fifth-bit byte i
// belongs to element i of sub-block j.
void DequantizeFourOrFive(Block block, Values out, bool five) {
  constexpr size_t kFifths = 16;
  const size_t nibbles = five ? kFifths + 32 : kFifths;
  const float d = HalfAt(block, 0);
  const float d_min = HalfAt(block, 2);
  for (size_t j = 0; j < 8; ++j) {
    const ScaleMin s = SixBitsAt(block, 4, j);
    const float scale = d * s.scale;
    const float min = d_min * s.min;
    for (size_t i = 0; i < kGgufBlockElements; ++i) {
      const Nibbles both = NibblesAt(block, nibbles + j / 2 * kGgufBlockElements + i);
      int n = j % 2 == 0 ? both.low : both.high;
      if (five) n += ((ByteAt(block, kFifths + i) >> j) & 1) << 4;
      out[j * kGgufBlockElements + i] = scale * static_cast<float>(n) - min;
    }
  }
}
void DequantizeQ4_K(Block block, Values out) {
  DequantizeFourOrFive(block, out, false);
}
void DequantizeQ5_K(Block block, Values out) {
  DequantizeFourOrFive(block, out, true);
}

// Q6_K: 128 bytes of low nibbles, 64 of high bit pairs, 16 signed scales (one for 16 elements),
// half d last; value = d * scale * (q - 32). Each half of 128 elements: quarter r (0..3) has its
// nibbles in bytes 32 * (r % 2) + i, low for r < 2, and its bit pair at 2r of byte i.
void DequantizeQ6_K(Block block, Values out) {
  const float d = HalfAt(block, 208);
  for (size_t half = 0; half < 2; ++half) {
    for (size_t r = 0; r < 4; ++r) {
      for (size_t i = 0; i < kGgufBlockElements; ++i) {
        const Nibbles n = NibblesAt(block, 64 * half + 32 * (r % 2) + i);
        const int pair = (ByteAt(block, 128 + 32 * half + i) >> (2 * r)) & 3;
        const int q = ((r < 2 ? n.low : n.high) | (pair << 4)) - 32;
        const int scale = SignedAt(block, 192 + 8 * half + 2 * r + i / 16);
        out[128 * half + kGgufBlockElements * r + i] =
            d * static_cast<float>(scale) * static_cast<float>(q);
      }
    }
  }
}

struct BlockType {
  GgufType type;
  GgufBlock block;
  void (*dequantize)(Block, Values);  // null for plain floats
};
constexpr BlockType kTypes[] = {
    {GgufType::kF32, {"F32", 1, 4}, nullptr},
    {GgufType::kF16, {"F16", 1, 2}, nullptr},
    {GgufType::kBF16, {"BF16", 1, 2}, nullptr},
    {GgufType::kQ8_0, {"Q8_0", kGgufBlockElements, 34}, DequantizeQ8_0},
    {GgufType::kQ4_0, {"Q4_0", kGgufBlockElements, 18}, DequantizeQ4_0},
    {GgufType::kQ4_1, {"Q4_1", kGgufBlockElements, 20}, DequantizeQ4_1},
    {GgufType::kQ5_0, {"Q5_0", kGgufBlockElements, 22}, DequantizeQ5_0},
    {GgufType::kQ5_1, {"Q5_1", kGgufBlockElements, 24}, DequantizeQ5_1},
    {GgufType::kQ4_K, {"Q4_K", kSuperElements, 144}, DequantizeQ4_K},
    {GgufType::kQ5_K, {"Q5_K", kSuperElements, 176}, DequantizeQ5_K},
    {GgufType::kQ6_K, {"Q6_K", kSuperElements, 210}, DequantizeQ6_K},
};

const BlockType& TypeOf(GgufType type) {
  for (const BlockType& known : kTypes) {
    if (known.type == type) return known;
  }
  OCTAVO_CHECK(false);
}

}  // namespace

std::optional<GgufType> GgufTypeOf(uint32_t id) {
  for (const BlockType& known : kTypes) {
    if (static_cast<uint32_t>(known.type) == id) return known.type;
  }
  return std::nullopt;
}

const GgufBlock& BlockOf(GgufType type) {
  return TypeOf(type).block;
}

void GgufDequantize(const GgufTensor& tensor, int64_t first, std::span<float> out) {
  const BlockType& type = TypeOf(tensor.type);
  const auto elements = static_cast<size_t>(type.block.elements);
  const auto block_bytes = static_cast<size_t>(type.block.bytes);
  const auto begin = static_cast<size_t>(first);
  OCTAVO_CHECK(first >= 0 && begin % elements == 0 && out.size() % elements == 0);
  const size_t offset = begin / elements * block_bytes;
  const size_t size = out.size() / elements * block_bytes;
  OCTAVO_CHECK(offset <= tensor.bytes.size() && size <= tensor.bytes.size() - offset);
  const core::ByteSpan bytes = tensor.bytes.subspan(offset, size);
  switch (tensor.type) {
    case GgufType::kF32:
      return tensor::ConvertToFloat(tensor::DType::kF32, bytes, out);
    case GgufType::kF16:
      return tensor::ConvertToFloat(tensor::DType::kF16, bytes, out);
    case GgufType::kBF16:
      return tensor::ConvertToFloat(tensor::DType::kBF16, bytes, out);
    default:
      break;
  }
  for (size_t i = 0; i < out.size() / elements; ++i) {
    type.dequantize(bytes.subspan(i * block_bytes, block_bytes),
                    out.subspan(i * elements, elements));
  }
}

}  // namespace octavo::format
