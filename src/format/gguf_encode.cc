#include "format/gguf_encode.h"

#include <cmath>
#include <cstring>

#include "core/check.h"
#include "tensor/dtype.h"
#include "tensor/quant_spec.h"

namespace octavo::format {
namespace {

constexpr size_t kHalf = sizeof(uint16_t);

void PutHalf(float value, core::MutableByteSpan block) {
  const uint16_t bits = tensor::FloatToF16(value);
  std::memcpy(block.data(), &bits, sizeof(bits));
}

}  // namespace

bool FitsF16(float scale) {
  return tensor::F16ToFloat(tensor::FloatToF16(scale)) == scale;
}

void GgufCopyCodes(GgufType type, std::span<const int8_t> codes, std::span<const float> scales,
                   core::MutableByteSpan out) {
  OCTAVO_CHECK(type == GgufType::kQ8_0 || type == GgufType::kQ4_0);
  OCTAVO_CHECK(!scales.empty() && codes.size() % scales.size() == 0);
  const size_t group = codes.size() / scales.size();
  const auto block_bytes = static_cast<size_t>(BlockOf(type).bytes);
  OCTAVO_CHECK(group % kGgufBlockElements == 0 &&
               out.size() == codes.size() / kGgufBlockElements * block_bytes);
  for (size_t b = 0; b < codes.size() / kGgufBlockElements; ++b) {
    const core::MutableByteSpan block = out.subspan(b * block_bytes, block_bytes);
    const int8_t* code = codes.data() + b * kGgufBlockElements;
    PutHalf(scales[b * kGgufBlockElements / group], block);
    if (type == GgufType::kQ8_0) {
      std::memcpy(block.data() + kHalf, code, kGgufBlockElements);
      continue;
    }
    for (size_t i = 0; i < kGgufBlockElements / 2; ++i) {
      const int low = code[i] + 8;
      const int high = code[i + kGgufBlockElements / 2] + 8;
      block[kHalf + i] = static_cast<std::byte>(low | (high << 4));
    }
  }
}

bool GgufQuantizeQ8_0(std::span<const float> values, core::MutableByteSpan out) {
  const auto block_bytes = static_cast<size_t>(BlockOf(GgufType::kQ8_0).bytes);
  OCTAVO_CHECK(values.size() % kGgufBlockElements == 0 &&
               out.size() == values.size() / kGgufBlockElements * block_bytes);
  for (size_t b = 0; b < values.size() / kGgufBlockElements; ++b) {
    const auto x = values.subspan(b * kGgufBlockElements, kGgufBlockElements);
    const core::MutableByteSpan block = out.subspan(b * block_bytes, block_bytes);
    const float d = tensor::AbsMax(x) / 127.0F;
    if (std::isinf(tensor::RoundToDType(d, tensor::DType::kF16))) return false;
    // A block so small that F16 has only zero for it; its inverse may be infinite.
    const float inverse = tensor::RoundToDType(d, tensor::DType::kF16) != 0 ? 1.0F / d : 0.0F;
    PutHalf(d, block);
    for (size_t i = 0; i < kGgufBlockElements; ++i)
      block[kHalf + i] = static_cast<std::byte>(static_cast<int8_t>(std::round(x[i] * inverse)));
  }
  return true;
}

}  // namespace octavo::format
