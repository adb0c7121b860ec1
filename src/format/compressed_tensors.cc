// Packing codes into words, and the tensors of one quantized linear in a file.

#include "format/compressed_tensors.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace octavo::format {
namespace {

constexpr int64_t kRowsPerPiece = 16;

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

core::Status RequirePositive(const std::string& name, std::span<const float> scales) {
  for (size_t i = 0; i < scales.size(); ++i) {
    if (std::isfinite(scales[i]) && scales[i] > 0) continue;
    return core::Invalid("tensor '" + name + "' holds " + std::to_string(scales[i]) + " at index " +
                         std::to_string(i) + "; scales must be positive and finite");
  }
  return {};
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

// The codes of one row of words; they begin at `bytes`.
void UnpackBytes(const std::byte* bytes, int bits, std::span<int8_t> codes) {
  const size_t count = codes.size();
  if (bits == 8) {
    for (size_t i = 0; i < count; ++i)
      codes[i] = static_cast<int8_t>(static_cast<uint8_t>(bytes[i]) ^ 0x80U);
    return;
  }
  for (size_t i = 0; i + 1 < count; i += 2) {
    const auto both = static_cast<int>(bytes[i / 2]);
    codes[i] = static_cast<int8_t>((both & 15) - 8);
    codes[i + 1] = static_cast<int8_t>((both >> 4) - 8);
  }
  if (count % 2 != 0) {
    codes[count - 1] = static_cast<int8_t>((static_cast<int>(bytes[count / 2]) & 15) - 8);
  }
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
  size_t w = 0;
  // Adding 128 to a byte turns its highest bit around; four of them lie as they do in the word.
  for (; bits == 8 && (w + 1) * per_word <= codes.size(); ++w) {
    std::memcpy(&words[w], codes.data() + w * per_word, sizeof(words[w]));
    words[w] ^= static_cast<int32_t>(0x80808080U);
  }
  for (; w < words.size(); ++w) {
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
  // Low bits first: on a little-endian machine the codes lie in the order of the bytes.
  UnpackBytes(reinterpret_cast<const std::byte*>(words.data()), bits, codes);
}

std::vector<TensorPlan> PlanQuantizedLinear(std::string_view module, int64_t n, int64_t k,
                                            const Scheme& scheme, DType scale_dtype) {
  const int64_t groups = scheme.group_size == 0 ? 1 : k / scheme.group_size;
  const tensor::Shape scales = scheme.per_tensor ? tensor::Shape{1} : tensor::Shape{n, groups};
  const TensorPlan scale = {Suffixed(module, ".weight_scale"), scale_dtype, scales};
  if (!IsPacked(scheme)) {
    std::vector<TensorPlan> plan = {{Suffixed(module, ".weight"), DType::kI8, {n, k}}, scale};
    if (scheme.activations == Activations::kStaticPerTensor)
      plan.push_back({Suffixed(module, ".input_scale"), DType::kF32, {1}});
    return plan;
  }
  return {
      {Suffixed(module, ".weight_packed"), DType::kI32, {n, PackedWords(k, scheme.weight_bits)}},
      scale,
      {Suffixed(module, ".weight_shape"), DType::kI64, {2}}};
}

std::vector<int8_t> StoredCodes(QuantizedTensor rows, const Scheme& scheme,
                                core::ThreadPool& pool) {
  if (!IsPacked(scheme)) return std::move(rows.codes);
  const auto k = static_cast<size_t>(rows.k);
  const auto row_words = static_cast<size_t>(PackedWords(rows.k, rows.bits));
  const size_t row_bytes = row_words * sizeof(int32_t);
  std::vector<int8_t> wider_or_narrower;
  std::vector<int8_t>& out = row_bytes == k ? rows.codes : wider_or_narrower;
  out.resize(static_cast<size_t>(rows.n) * row_bytes);
  pool.ParallelFor(rows.n, kRowsPerPiece, [&](int64_t begin, int64_t end) {
    std::vector<int32_t> words(row_words);
    for (auto n = static_cast<size_t>(begin); n < static_cast<size_t>(end); ++n) {
      PackRow(std::span(rows.codes).subspan(n * k, k), rows.bits, words);
      std::memcpy(out.data() + n * row_bytes, words.data(), row_bytes);
    }
  });
  return std::move(out);
}

std::vector<std::byte> StoredRest(const QuantizedTensor& weight, const Scheme& scheme) {
  OCTAVO_CHECK(!scheme.per_tensor ||
               std::count(weight.scales.begin(), weight.scales.end(), weight.scales.front()) ==
                   static_cast<std::ptrdiff_t>(weight.scales.size()));
  const auto kept = std::span(weight.scales).first(scheme.per_tensor ? 1 : weight.scales.size());
  std::vector<std::byte> out(kept.size() * tensor::DTypeSize(weight.scale_dtype));
  tensor::ConvertFromFloat(kept, weight.scale_dtype, out);
  const auto append = [&](core::ByteSpan bytes) {
    out.insert(out.end(), bytes.begin(), bytes.end());
  };
  if (scheme.activations == Activations::kStaticPerTensor) {
    OCTAVO_CHECK(weight.input_scale.has_value());
    append(std::as_bytes(std::span(&*weight.input_scale, 1)));
  } else if (IsPacked(scheme)) {
    const int64_t shape[2] = {weight.n, weight.k};
    append(std::as_bytes(std::span(shape)));
  }
  return out;
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
  return writer.Append(StoredRest(weight, scheme));
}

core::Result<StoredLinear> StoredLinear::Open(const ModelFolder& folder, std::string_view module,
                                              const Scheme& scheme) {
  for (const char* suffix : {".weight_zero_point", ".weight_g_idx"}) {
    if (folder.FindTensor(Suffixed(module, suffix)) == nullptr) continue;
    return core::Unsupported("tensor '" + Suffixed(module, suffix) +
                             "': octavo runs symmetric weights in plain column order only");
  }
  StoredLinear out;
  out.folder_ = &folder;
  out.packed_ = folder.FindTensor(Suffixed(module, ".weight_packed")) != nullptr;
  QuantizedTensor& shape = out.shape_;
  shape.bits = scheme.weight_bits;
  OCTAVO_RETURN_IF_ERROR(out.packed_ ? out.OpenPacked(module) : out.OpenPlain(module));
  shape.group_size = scheme.group_size == 0 ? shape.k : scheme.group_size;
  if (shape.n < 1 || shape.k < 1)
    return core::Invalid("layer '" + std::string(module) + "' is empty");
  if (shape.k % shape.group_size != 0) {
    return core::Invalid("layer '" + std::string(module) + "': group size " +
                         std::to_string(shape.group_size) + " does not divide its " +
                         std::to_string(shape.k) + " inputs");
  }
  OCTAVO_RETURN_IF_ERROR(out.ReadScales(module, scheme.per_tensor));
  if (scheme.activations == Activations::kStaticPerTensor)
    OCTAVO_RETURN_IF_ERROR(out.ReadInputScale(module));
  return out;
}

core::Status StoredLinear::OpenPacked(std::string_view module) {
  OCTAVO_TRY(const tensor::Shape shape, ReadWeightShape(*folder_, module));
  name_ = Suffixed(module, ".weight_packed");
  OCTAVO_TRY(codes_, GetMatrix(*folder_, name_, DType::kI32));
  // From the words that are there to the codes they hold: the numbers in weight_shape may be
  // anything.
  const int64_t words = codes_.shape[1];
  const int64_t per_word = 32 / shape_.bits;
  if (shape[0] != codes_.shape[0] || shape[1] > words * per_word ||
      shape[1] <= (words - 1) * per_word) {
    return Unexpected(name_, codes_,
                      "as many words as 'weight_shape' " + tensor::ShapeToString(shape) + " takes");
  }
  shape_.n = shape[0];
  shape_.k = shape[1];
  return {};
}

core::Status StoredLinear::OpenPlain(std::string_view module) {
  name_ = Suffixed(module, ".weight");
  OCTAVO_TRY(codes_, GetMatrix(*folder_, name_, DType::kI8));
  shape_.n = codes_.shape[0];
  shape_.k = codes_.shape[1];
  return {};
}

core::Status StoredLinear::ReadScales(std::string_view module, bool per_tensor) {
  const std::string name = Suffixed(module, ".weight_scale");
  OCTAVO_TRY(const TensorView view, folder_->GetTensor(name));
  if (!tensor::IsFloat(view.dtype)) return Unexpected(name, view, "floats");
  const tensor::Shape want =
      per_tensor ? tensor::Shape{1} : tensor::Shape{shape_.n, shape_.groups()};
  const bool flat = !per_tensor && shape_.groups() == 1 && view.shape == tensor::Shape{shape_.n};
  const bool single = per_tensor && view.elements() == 1;  // [], [1] and [1, 1] are all written
  if (view.shape != want && !flat && !single)
    return Unexpected(name, view, "floats of shape " + tensor::ShapeToString(want));
  shape_.scale_dtype = view.dtype;
  shape_.scales.resize(static_cast<size_t>(view.elements()));
  tensor::ConvertToFloat(view.dtype, view.bytes, shape_.scales);
  OCTAVO_RETURN_IF_ERROR(RequirePositive(name, shape_.scales));
  if (per_tensor) shape_.scales.assign(static_cast<size_t>(shape_.n), shape_.scales[0]);
  return {};
}

// One number, of whatever float type and shape others write it in.
core::Status StoredLinear::ReadInputScale(std::string_view module) {
  const std::string name = Suffixed(module, ".input_scale");
  OCTAVO_TRY(const TensorView view, folder_->GetTensor(name));
  if (!tensor::IsFloat(view.dtype) || view.elements() != 1 || view.rank() > 1)
    return Unexpected(name, view, "one float");
  float scale = 0;
  tensor::ConvertToFloat(view.dtype, view.bytes, std::span(&scale, 1));
  shape_.input_scale = scale;
  return RequirePositive(name, std::span(&scale, 1));
}

core::Status StoredLinear::Read(int64_t first, std::span<int8_t> codes) const {
  const auto k = static_cast<size_t>(shape_.k);
  OCTAVO_CHECK(codes.size() % k == 0);
  const auto rows = static_cast<int64_t>(codes.size() / k);
  OCTAVO_CHECK(first >= 0 && first + rows <= shape_.n);
  const auto stored = static_cast<size_t>(row_bytes());
  for (int64_t row = first; row < first + rows; ++row) {
    OCTAVO_RETURN_IF_ERROR(Decode(row,
                                  codes_.bytes.subspan(static_cast<size_t>(row) * stored, stored),
                                  codes.subspan(static_cast<size_t>(row - first) * k, k)));
  }
  return {};
}

core::Status StoredLinear::Decode(int64_t row, core::ByteSpan bytes,
                                  std::span<int8_t> codes) const {
  if (!packed_) {
    std::memcpy(codes.data(), bytes.data(), codes.size());
    if (shape_.bits == 8) return {};
    const auto wide =
        std::find_if(codes.begin(), codes.end(), [](int8_t code) { return code < -8 || code > 7; });
    if (wide == codes.end()) return {};
    return core::Invalid("tensor '" + name_ + "' holds " + std::to_string(*wide) + " at index " +
                         std::to_string(row * shape_.k + (wide - codes.begin())) +
                         ", expected 4-bit codes");
  }
  const auto tail = static_cast<unsigned>(shape_.k % (32 / shape_.bits) * shape_.bits);
  uint32_t last = 0;
  std::memcpy(&last, bytes.data() + bytes.size() - sizeof(last), sizeof(last));
  if (tail != 0 && last >> tail != 0) {
    return core::Invalid("tensor '" + name_ + "': row " + std::to_string(row) +
                         " has bits behind its last code, expected zeros");
  }
  UnpackBytes(bytes.data(), shape_.bits, codes);
  return {};
}

core::Result<QuantizedTensor> ReadQuantizedLinear(const ModelFolder& folder,
                                                  std::string_view module, const Scheme& scheme) {
  OCTAVO_TRY(const StoredLinear stored, StoredLinear::Open(folder, module, scheme));
  QuantizedTensor out = stored.shape();
  out.codes.resize(static_cast<size_t>(out.n * out.k));
  OCTAVO_RETURN_IF_ERROR(stored.Read(0, out.codes));
  stored.DropPages();
  return out;
}

}  // namespace octavo::format
