// Packing codes into words, and the tensors of one quantized linear in a file.

#include "format/compressed_tensors.h"

#include <algorithm>
#include <cmath>

namespace octavo::format {
namespace {

using tensor::Activations;
using tensor::DType;
using tensor::QuantizedTensor;
using tensor::Scheme;
using tensor::TensorView;

// int-quantized stores bare int8 codes; pack-quantized, for float activations, packs them into
// words.
bool IsPacked(const Scheme& scheme) {
  return scheme.activations == Activations::kFloat;
}

std::string Suffixed(std::string_view module, const char* suffix) {
  return std::string(module) + suffix;
}

core::Error Unexpected(const std::string& name, const TensorView& view,
                       const std::string& expected) {
  return core::Invalid("tensor '" + core::Printable(name, 200) + "' is " +
                       std::string(tensor::DTypeName(view.dtype)) + " " +
                       tensor::ShapeToString(view.shape) + ", expected " + expected);
}

core::Result<TensorView> GetMatrix(const ModelFolder& folder, const std::string& name,
                                   DType dtype) {
  OCTAVO_TRY(TensorView view, folder.GetTensor(name));
  if (view.dtype != dtype || view.rank() != 2) {
    return Unexpected(name, view, std::string(tensor::DTypeName(dtype)) + " of two dimensions");
  }
  return view;
}

// [N, K], as weight_shape says it.
core::Result<tensor::Shape> ReadWeightShape(const ModelFolder& folder, std::string_view module) {
  const std::string name = Suffixed(module, ".weight_shape");
  OCTAVO_TRY(const TensorView view, folder.GetTensor(name));
  if (view.elements() != 2 || (view.dtype != DType::kI64 && view.dtype != DType::kI32)) {
    return Unexpected(name, view, "I64 [2]");
  }
  tensor::Shape shape;
  for (size_t i = 0; i < 2; ++i) {
    shape.push_back(view.dtype == DType::kI64 ? core::LoadLittle<int64_t>(view.bytes, 8 * i)
                                              : core::LoadLittle<int32_t>(view.bytes, 4 * i));
  }
  return shape;
}

core::Status ReadPackedCodes(const ModelFolder& folder, std::string_view module,
                             QuantizedTensor& out) {
  OCTAVO_TRY(const tensor::Shape shape, ReadWeightShape(folder, module));
  const std::string name = Suffixed(module, ".weight_packed");
  OCTAVO_TRY(const TensorView view, GetMatrix(folder, name, DType::kI32));
  // From the words that are there to the codes they hold: the numbers in weight_shape may be
  // anything.
  const int64_t words = view.shape[1];
  const int64_t per_word = 32 / out.bits;
  if (shape[0] != view.shape[0] || shape[1] > words * per_word ||
      shape[1] <= (words - 1) * per_word) {
    return Unexpected(name, view,
                      "as many words as 'weight_shape' " + tensor::ShapeToString(shape) + " takes");
  }
  out.n = shape[0];
  out.k = shape[1];
  const auto tail = static_cast<unsigned>(out.k % per_word * out.bits);
  out.codes.resize(static_cast<size_t>(out.n * out.k));
  if (words == 0) return {};  // the caller refuses empty layers
  std::vector<int32_t> row(static_cast<size_t>(words));
  for (int64_t n = 0; n < out.n; ++n) {
    std::memcpy(row.data(), view.bytes.data() + static_cast<size_t>(n * words) * sizeof(int32_t),
                row.size() * sizeof(int32_t));
    if (tail != 0 && static_cast<uint32_t>(row.back()) >> tail != 0) {
      return core::Invalid("tensor '" + name + "': row " + std::to_string(n) +
                           " has bits behind its last code, expected zeros");
    }
    UnpackRow(
        row, out.bits,
        std::span(out.codes).subspan(static_cast<size_t>(n * out.k), static_cast<size_t>(out.k)));
  }
  folder.DropPages(view);
  return {};
}

core::Status ReadPlainCodes(const ModelFolder& folder, std::string_view module,
                            QuantizedTensor& out) {
  OCTAVO_TRY(const TensorView view, GetMatrix(folder, Suffixed(module, ".weight"), DType::kI8));
  out.n = view.shape[0];
  out.k = view.shape[1];
  out.codes.resize(view.bytes.size());
  if (!out.codes.empty()) std::memcpy(out.codes.data(), view.bytes.data(), view.bytes.size());
  folder.DropPages(view);
  const auto wide = std::find_if(out.codes.begin(), out.codes.end(), [&](int8_t code) {
    return out.bits == 4 && (code < -8 || code > 7);
  });
  if (wide != out.codes.end()) {
    return core::Invalid("tensor '" + Suffixed(module, ".weight") + "' holds " +
                         std::to_string(*wide) + " at index " +
                         std::to_string(wide - out.codes.begin()) + ", expected 4-bit codes");
  }
  return {};
}

core::Status ReadScales(const ModelFolder& folder, std::string_view module, QuantizedTensor& out) {
  const std::string name = Suffixed(module, ".weight_scale");
  OCTAVO_TRY(const TensorView view, folder.GetTensor(name));
  if (!tensor::IsFloat(view.dtype)) return Unexpected(name, view, "floats");
  const tensor::Shape want = {out.n, out.groups()};
  const bool flat = out.groups() == 1 && view.shape == tensor::Shape{out.n};
  if (view.shape != want && !flat)
    return Unexpected(name, view, "floats of shape " + tensor::ShapeToString(want));
  out.scale_dtype = view.dtype;
  out.scales.resize(static_cast<size_t>(view.elements()));
  tensor::ConvertToFloat(view.dtype, view.bytes, out.scales);
  for (size_t i = 0; i < out.scales.size(); ++i) {
    if (!std::isfinite(out.scales[i]) || out.scales[i] <= 0) {
      return core::Invalid("tensor '" + name + "' holds " + std::to_string(out.scales[i]) +
                           " at index " + std::to_string(i) +
                           "; scales must be positive and finite");
    }
  }
  return {};
}

}  // namespace

int64_t PackedWords(int64_t codes, int bits) {
  return (codes * bits + 31) / 32;
}

void PackRow(std::span<const int8_t> codes, int bits, std::span<int32_t> words) {
  OCTAVO_CHECK(bits == 8 || bits == 4);
  OCTAVO_CHECK(static_cast<int64_t>(words.size()) ==
               PackedWords(static_cast<int64_t>(codes.size()), bits));
  const size_t per_word = 32U / static_cast<unsigned>(bits);
  const int offset = 1 << (bits - 1);
  for (size_t w = 0; w < words.size(); ++w) {
    uint32_t word = 0;
    const size_t end = std::min(codes.size(), (w + 1) * per_word);
    for (size_t i = w * per_word; i < end; ++i) {
      word |= static_cast<uint32_t>(codes[i] + offset)
              << (i % per_word * static_cast<unsigned>(bits));
    }
    words[w] = static_cast<int32_t>(word);
  }
}

void UnpackRow(std::span<const int32_t> words, int bits, std::span<int8_t> codes) {
  OCTAVO_CHECK(bits == 8 || bits == 4);
  OCTAVO_CHECK(static_cast<int64_t>(words.size()) ==
               PackedWords(static_cast<int64_t>(codes.size()), bits));
  const size_t per_word = 32U / static_cast<unsigned>(bits);
  const uint32_t mask = (1U << bits) - 1U;
  const int offset = 1 << (bits - 1);
  for (size_t i = 0; i < codes.size(); ++i) {
    const auto word = static_cast<uint32_t>(words[i / per_word]);
    codes[i] = static_cast<int8_t>(
        static_cast<int>((word >> (i % per_word * static_cast<unsigned>(bits))) & mask) - offset);
  }
}

std::vector<TensorPlan> PlanQuantizedLinear(std::string_view module, int64_t n, int64_t k,
                                            const Scheme& scheme, DType scale_dtype) {
  const int64_t groups = scheme.group_size == 0 ? 1 : k / scheme.group_size;
  const TensorPlan scale = {Suffixed(module, ".weight_scale"), scale_dtype, {n, groups}};
  if (!IsPacked(scheme)) return {{Suffixed(module, ".weight"), DType::kI8, {n, k}}, scale};
  return {
      {Suffixed(module, ".weight_packed"), DType::kI32, {n, PackedWords(k, scheme.weight_bits)}},
      scale,
      {Suffixed(module, ".weight_shape"), DType::kI64, {2}}};
}

core::Status WriteQuantizedLinear(SafetensorsWriter& writer, const QuantizedTensor& weight,
                                  const Scheme& scheme) {
  if (IsPacked(scheme)) {
    std::vector<int32_t> words(static_cast<size_t>(PackedWords(weight.k, weight.bits)));
    for (int64_t n = 0; n < weight.n; ++n) {
      PackRow(std::span(weight.codes)
                  .subspan(static_cast<size_t>(n * weight.k), static_cast<size_t>(weight.k)),
              weight.bits, words);
      OCTAVO_RETURN_IF_ERROR(writer.Append(std::as_bytes(std::span(words))));
    }
  } else {
    OCTAVO_RETURN_IF_ERROR(writer.Append(std::as_bytes(std::span(weight.codes))));
  }
  std::vector<std::byte> scales(weight.scales.size() * tensor::DTypeSize(weight.scale_dtype));
  tensor::ConvertFromFloat(weight.scales, weight.scale_dtype, scales);
  OCTAVO_RETURN_IF_ERROR(writer.Append(scales));
  if (!IsPacked(scheme)) return {};
  const int64_t shape[2] = {weight.n, weight.k};
  return writer.Append(std::as_bytes(std::span(shape)));
}

core::Result<QuantizedTensor> ReadQuantizedLinear(const ModelFolder& folder,
                                                  std::string_view module, const Scheme& scheme) {
  for (const char* suffix : {".weight_zero_point", ".weight_g_idx"}) {
    if (folder.FindTensor(Suffixed(module, suffix)) == nullptr) continue;
    return core::Unsupported("tensor '" + Suffixed(module, suffix) +
                             "': octavo runs symmetric weights in plain column order only");
  }
  QuantizedTensor out;
  out.bits = scheme.weight_bits;
  OCTAVO_RETURN_IF_ERROR(IsPacked(scheme) ? ReadPackedCodes(folder, module, out)
                                          : ReadPlainCodes(folder, module, out));
  out.group_size = scheme.group_size == 0 ? out.k : scheme.group_size;
  if (out.n < 1 || out.k < 1) return core::Invalid("layer '" + std::string(module) + "' is empty");
  if (out.k % out.group_size != 0) {
    return core::Invalid("layer '" + std::string(module) + "': group size " +
                         std::to_string(out.group_size) + " does not divide its " +
                         std::to_string(out.k) + " inputs");
  }
  OCTAVO_RETURN_IF_ERROR(ReadScales(folder, module, out));
  return out;
}

}  // namespace octavo::format
