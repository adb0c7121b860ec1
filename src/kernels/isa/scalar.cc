// The definition: what every kernel computes, in plain loops, in the order that table.h promises.
// Slow on purpose.

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/isa/scalar_attention.h"
#include "kernels/table.h"
#include "tensor/dtype.h"

namespace octavo::kernels {
namespace {

// Weight of input k for feature n of the piece.
template <Storage kStorage>
float WeightAt(const MatMulPiece& piece, int64_t k, int64_t n) {
  constexpr StorageLayout kLayout = kStorageLayouts[static_cast<int>(kStorage)];
  const int64_t at = k / kLayout.unit * piece.blocks * kBlockFeatures + n;
  const std::byte* unit = static_cast<const std::byte*>(piece.weight) + at * kLayout.unit_bytes;
  const int64_t i = k % kLayout.unit;
  if constexpr (kStorage == Storage::kI4) {
    const auto both = static_cast<int32_t>(unit[i % 4]);
    return static_cast<float>((i < 4 ? both & 15 : both >> 4) - 8);
  } else if constexpr (kStorage == Storage::kI8) {
    return static_cast<float>(static_cast<int8_t>(unit[i]));
  } else if constexpr (kStorage == Storage::kF32) {
    float value;
    std::memcpy(&value, unit, sizeof(value));
    return value;
  } else {
    uint16_t bits;
    std::memcpy(&bits, unit + 2 * i, sizeof(bits));
    return kStorage == Storage::kF16 ? tensor::F16ToFloat(bits) : tensor::BF16ToFloat(bits);
  }
}

// Input k of a row, as f32.
template <InputType kInput>
float InputAt(const std::byte* row, int64_t k) {
  if constexpr (kInput == InputType::kBf16) {
    uint16_t bits;
    std::memcpy(&bits, row + 2 * k, sizeof(bits));
    return tensor::BF16ToFloat(bits);
  } else {
    float value;
    std::memcpy(&value, row + 4 * k, sizeof(value));
    return value;
  }
}

// Over inputs first <= k < last; `codes` is one row of codes.
template <Storage kStorage>
float IntegerSum(const MatMulPiece& piece, const std::byte* codes, int64_t n, int64_t first,
                 int64_t last) {
  int32_t sum = 0;
  for (int64_t i = first; i < last; ++i) {
    const int32_t code =
        piece.group > 0 ? static_cast<int8_t>(codes[i]) : static_cast<int32_t>(codes[i]) - 128;
    sum += static_cast<int32_t>(WeightAt<kStorage>(piece, i, n)) * code;
  }
  return static_cast<float>(sum);
}

template <InputType kInput, Storage kStorage>
float Sum(const MatMulPiece& piece, const std::byte* row, int64_t n, int64_t first, int64_t last) {
  if constexpr (kInput == InputType::kI8) {
    return IntegerSum<kStorage>(piece, row, n, first, last);
  } else if constexpr (kInput == InputType::kI24) {
    float parts[3];
    for (int64_t p = 0; p < 3; ++p) {
      parts[p] = IntegerSum<kStorage>(piece, row + p * piece.x_stride_bytes, n, first, last);
    }
    return std::fma(parts[0], kRadix * kRadix, std::fma(parts[1], kRadix, parts[2]));
  } else {
    float sum = 0;
    for (int64_t i = first; i < last; ++i) {
      int64_t at = i;
      if (kInput == InputType::kBf16 && (i ^ 1) < last) at = i ^ 1;
      sum = std::fma(WeightAt<kStorage>(piece, at, n), InputAt<kInput>(row, at), sum);
    }
    return sum;
  }
}

float GroupScale(const MatMulPiece& piece, int64_t group, int64_t n) {
  const int64_t at = group * piece.blocks * kBlockFeatures + n;
  if (piece.group_scale_type == Storage::kF32)
    return static_cast<const float*>(piece.group_scales)[at];
  const uint16_t bits = static_cast<const uint16_t*>(piece.group_scales)[at];
  return piece.group_scale_type == Storage::kF16 ? tensor::F16ToFloat(bits)
                                                 : tensor::BF16ToFloat(bits);
}

template <InputType kInput, Storage kStorage>
void MatMul(const MatMulPiece& piece) {
  for (int64_t row = 0; row < piece.rows; ++row) {
    const std::byte* x =
        static_cast<const std::byte*>(piece.x) + row * CodeRows(kInput) * piece.x_stride_bytes;
    for (int64_t n = 0; n < piece.columns; ++n) {
      float sum = 0;
      if (piece.group == 0) {
        sum = Sum<kInput, kStorage>(piece, x, n, 0, piece.k);
      } else {
        for (int64_t g = 0; g < piece.k / piece.group; ++g) {
          const int64_t first = g * piece.group;
          sum = std::fma(Sum<kInput, kStorage>(piece, x, n, first, first + piece.group),
                         GroupScale(piece, g, n), sum);
        }
      }
      if (kInput == InputType::kI8 || kInput == InputType::kI24) sum *= piece.x_scales[row];
      sum = std::fma(sum, piece.scales != nullptr ? piece.scales[n] : 1.0F,
                     piece.bias != nullptr ? piece.bias[n] : -0.0F);
      float& out = piece.out[row * piece.out_stride + n];
      out = piece.add ? out + sum : sum;
    }
  }
}

// exp(x) for x <= 88, by x = n ln2 + r, |r| <= ln2 / 2, and the degree-6 Taylor polynomial of
// exp(r); relative error below 2e-7. Below -87 the result is 0. The same steps in every table.
float Exp(float x) {
  if (!(x > -87.0F)) return 0;
  const float n = std::nearbyint(x * 1.44269504F);
  float r = std::fma(n, -0.693359375F, x);
  r = std::fma(n, 2.12194440e-4F, r);
  float p = 1.0F / 720;
  p = std::fma(p, r, 1.0F / 120);
  p = std::fma(p, r, 1.0F / 24);
  p = std::fma(p, r, 1.0F / 6);
  p = std::fma(p, r, 0.5F);
  p = std::fma(p, r, 1.0F);
  p = std::fma(p, r, 1.0F);
  return p * std::bit_cast<float>((static_cast<int32_t>(n) + 127) << 23);
}

// Sum (or maximum) of 16 lanes in the order of the vector tables.
template <typename Combine>
float FoldLanes(float* lanes, Combine combine) {
  for (int width = 8; width > 0; width /= 2) {
    for (int i = 0; i < width; ++i) lanes[i] = combine(lanes[i], lanes[i + width]);
  }
  return lanes[0];
}

void RmsNorm(const float* x, const float* weight, int64_t n, float eps, float* out) {
  float lanes[kBlockFeatures] = {};
  for (int64_t i = 0; i < n; ++i)
    lanes[i % kBlockFeatures] = std::fma(x[i], x[i], lanes[i % kBlockFeatures]);
  const float total = FoldLanes(lanes, [](float a, float b) { return a + b; });
  const float factor = 1.0F / std::sqrt(total / static_cast<float>(n) + eps);
  for (int64_t i = 0; i < n; ++i) out[i] = x[i] * factor * weight[i];
}

void SiluMul(const float* gate, const float* up, int64_t n, float* out) {
  for (int64_t i = 0; i < n; ++i) {
    const float e = Exp(std::fmin(-gate[i], 88.0F));
    out[i] = gate[i] / (1.0F + e) * up[i];
  }
}

void RoundToBf16(const float* x, int64_t n, float* out) {
  for (int64_t i = 0; i < n; ++i) out[i] = tensor::BF16ToFloat(tensor::FloatToBF16(x[i]));
}

void ToBf16(const float* x, int64_t n, uint16_t* out) {
  for (int64_t i = 0; i < n; ++i) out[i] = tensor::FloatToBF16(x[i]);
}

void QuantizeRow(const float* x, int64_t n, uint8_t* codes, float* scale) {
  float absmax = 0;
  for (int64_t i = 0; i < n; ++i) absmax = std::fmax(absmax, std::fabs(x[i]));
  const bool zero = absmax < kZeroRow;
  const float inverse = zero ? 0.0F : 127.0F / absmax;
  *scale = zero ? 1.0F : absmax / 127.0F;
  for (int64_t i = 0; i < n; ++i) {
    const float code = std::nearbyint(std::fmin(std::fmax(x[i] * inverse, -127.0F), 127.0F));
    codes[i] = static_cast<uint8_t>(128.0F + code);
  }
}

void SplitRow(const float* x, int64_t n, uint8_t* codes, int64_t stride, float* scale) {
  float absmax = 0;
  bool finite = true;
  for (int64_t i = 0; i < n; ++i) {
    absmax = std::fmax(absmax, std::fabs(x[i]));
    finite = finite && std::isfinite(x[i]);
  }
  const bool zero = absmax < kZeroRow;
  const float inverse = zero || !finite ? 0.0F : 127.0F / absmax;
  *scale = !finite ? std::numeric_limits<float>::quiet_NaN()
           : zero  ? 1.0F
                   : absmax / (127.0F * kRadix * kRadix);
  for (int64_t i = 0; i < n; ++i) {
    float left = finite ? x[i] * inverse : 0.0F;
    for (int64_t part = 0; part < 3; ++part) {
      const float code = std::nearbyint(left);
      codes[part * stride + i] = static_cast<uint8_t>(128.0F + code);
      left = (left - code) * kRadix;
    }
  }
}

void SignCodes(const uint8_t* codes, int64_t n, int64_t sum_inputs, int8_t* to, int32_t* sums) {
  for (int64_t i = 0; i < n; i += sum_inputs) sums[i / sum_inputs] = 0;
  for (int64_t i = 0; i < n; ++i) {
    to[i] = static_cast<int8_t>(codes[i] - 128);
    sums[i / sum_inputs] += to[i];
  }
}

void QuantizeRowBy(const float* x, int64_t n, float scale, uint8_t* codes) {
  for (int64_t i = 0; i < n; ++i) {
    const float code = std::nearbyint(std::fmin(std::fmax(x[i] / scale, -127.0F), 127.0F));
    codes[i] = static_cast<uint8_t>(128.0F + code);
  }
}

template <float (*kWiden)(uint16_t)>
float Widen(const void* x, int64_t n, float* out) {
  uint16_t largest = 0;  // magnitudes order as their bits do, infinity and NaN last
  for (int64_t i = 0; i < n; ++i) {
    uint16_t bits;
    std::memcpy(&bits, static_cast<const std::byte*>(x) + 2 * i, sizeof(bits));
    out[i] = kWiden(bits);
    largest = std::max<uint16_t>(largest, bits & 0x7FFFU);
  }
  return kWiden(largest);
}

void WalshHadamard(float* x, int64_t n, int64_t size) {
  for (int64_t step = 1; step < size; step *= 2) {
    for (int64_t i = 0; i < n; ++i) {
      if ((i & step) != 0) continue;
      const float a = x[i];
      const float b = x[i + step];
      x[i] = a + b;
      x[i + step] = a - b;
    }
  }
}

void CombineSpans(const float* x, int64_t size, int64_t span, const float* signs, float* out) {
  for (int64_t i = 0; i < size; ++i) {
    for (int64_t c = 0; c < span; ++c) {
      float sum = 0;
      for (int64_t j = 0; j < size; ++j) sum += signs[j * size + i] * x[j * span + c];
      out[i * span + c] = sum;
    }
  }
}

float PeakFloat(int64_t rounds) {
  float sum = 0;
  for (int64_t i = 0; i < rounds; ++i) sum = std::fma(sum, 0.999F, 0.001F);
  return sum;
}

float Read(const float* x, int64_t n, bool /*strands*/) {
  float largest = x[0];
  for (int64_t i = 1; i < n; ++i) largest = std::fmax(largest, x[i]);
  return largest;
}

bool Supported(const CpuFeatures&) {
  return true;
}

}  // namespace

extern const KernelTable kScalarTable;
const KernelTable kScalarTable = {
    "scalar",
    Supported,
    {{{"w32a32", "scalar", MatMul<InputType::kF32, Storage::kF32>},
      {"f16a32", "scalar", MatMul<InputType::kF32, Storage::kF16>},
      {"bf16a32", "scalar", MatMul<InputType::kF32, Storage::kBF16>}},
     {{},
      {},
      {"bf16abf16", "scalar", MatMul<InputType::kBf16, Storage::kBF16>},
      {"w8abf16", "scalar", MatMul<InputType::kBf16, Storage::kI8>}},
     {{},
      {},
      {},
      {"w8a8", "scalar", MatMul<InputType::kI8, Storage::kI8>},
      {"w4a8", "scalar", MatMul<InputType::kI8, Storage::kI4>}},
     {{},
      {},
      {},
      {"w8a24", "scalar", MatMul<InputType::kI24, Storage::kI8>},
      {"w4a24", "scalar", MatMul<InputType::kI24, Storage::kI4>}}},
    {ScalarStoreKv, ScalarAttend, ScalarMergePartials},
    RmsNorm,
    SiluMul,
    RoundToBf16,
    ToBf16,
    QuantizeRow,
    SplitRow,
    QuantizeRowBy,
    SignCodes,
    Widen<tensor::F16ToFloat>,
    Widen<tensor::BF16ToFloat>,
    WalshHadamard,
    CombineSpans,
    {},
    {{1, PeakFloat}, {}, {}, {}},
    Read,
};

}  // namespace octavo::kernels
