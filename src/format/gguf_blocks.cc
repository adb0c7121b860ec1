// What the block types of GGUF are worth in f32. Layouts: ggml src/ggml-common.h; arithmetic: the
// dequantize_row_* functions of ggml src/ggml-quants.c, one f32 operation at a time.
#include "core/check.h"
#include "format/gguf.h"
#include "tensor/dtype.h"

namespace octavo::format {
namespace {

constexpr size_t kElements = 32;  // of a quantized block

float HalfAt(core::ByteSpan bytes, size_t offset) {
  return tensor::F16ToFloat(core::LoadLittle<uint16_t>(bytes, offset));
}

// Q8_0: half d, 32 signed bytes; value = d * q.
void DequantizeQ8_0(core::ByteSpan block, std::span<float> out) {
  const float d = HalfAt(block, 0);
  for (size_t i = 0; i < kElements; ++i) {
    out[i] = d * static_cast<float>(core::LoadLittle<int8_t>(block, 2 + i));
  }
}

// Byte i of a run of 16 holds elements i (low nibble) and i + 16 (high nibble).
struct Nibbles {
  int low;
  int high;
};
Nibbles NibblesAt(core::ByteSpan block, size_t offset) {
  const auto byte = core::LoadLittle<uint8_t>(block, offset);
  return {byte & 15, byte >> 4};
}

// Q4_0: half d, 16 bytes of nibbles; value = d * (n - 8).
void DequantizeQ4_0(core::ByteSpan block, std::span<float> out) {
  const float d = HalfAt(block, 0);
  for (size_t i = 0; i < kElements / 2; ++i) {
    const Nibbles n = NibblesAt(block, 2 + i);
    out[i] = d * static_cast<float>(n.low - 8);
    out[i + kElements / 2] = d * static_cast<float>(n.high - 8);
  }
}

// Q4_1: half d, half m, 16 bytes of nibbles; value = d * n + m.
void DequantizeQ4_1(core::ByteSpan block, std::span<float> out) {
  const float d = HalfAt(block, 0);
  const float m = HalfAt(block, 2);
  for (size_t i = 0; i < kElements / 2; ++i) {
    const Nibbles n = NibblesAt(block, 4 + i);
    out[i] = d * static_cast<float>(n.low) + m;
    out[i + kElements / 2] = d * static_cast<float>(n.high) + m;
  }
}

void DequantizeBlocks(GgufType type, core::ByteSpan bytes, std::span<float> out) {
  const auto block_bytes = static_cast<size_t>(BlockOf(type).bytes);
  const auto decode = type == GgufType::kQ8_0   ? DequantizeQ8_0
                      : type == GgufType::kQ4_0 ? DequantizeQ4_0
                                                : DequantizeQ4_1;
  for (size_t i = 0; i < out.size() / kElements; ++i) {
    decode(bytes.subspan(i * block_bytes, block_bytes), out.subspan(i * kElements, kElements));
  }
}

}  // namespace

const GgufBlock& BlockOf(GgufType type) {
  static constexpr GgufBlock kF32 = {"F32", 1, 4};
  static constexpr GgufBlock kF16 = {"F16", 1, 2};
  static constexpr GgufBlock kBF16 = {"BF16", 1, 2};
  static constexpr GgufBlock kQ8_0 = {"Q8_0", kElements, 34};
  static constexpr GgufBlock kQ4_0 = {"Q4_0", kElements, 18};
  static constexpr GgufBlock kQ4_1 = {"Q4_1", kElements, 20};
  switch (type) {
    case GgufType::kF32:
      return kF32;
    case GgufType::kF16:
      return kF16;
    case GgufType::kBF16:
      return kBF16;
    case GgufType::kQ8_0:
      return kQ8_0;
    case GgufType::kQ4_0:
      return kQ4_0;
    case GgufType::kQ4_1:
      return kQ4_1;
  }
  OCTAVO_CHECK(false);
}

void GgufDequantize(const GgufTensor& tensor, int64_t first, std::span<float> out) {
  const GgufBlock& block = BlockOf(tensor.type);
  const auto count = static_cast<int64_t>(out.size());
  OCTAVO_CHECK(first % block.elements == 0 && count % block.elements == 0);
  const auto offset = static_cast<size_t>(first / block.elements * block.bytes);
  const auto size = static_cast<size_t>(count / block.elements * block.bytes);
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
      return DequantizeBlocks(tensor.type, bytes, out);
  }
}

}  // namespace octavo::format
