// GGUF version 3: reading metadata and tensors through a memory map, and dequantizing them exactly
// as the format defines. Format: ggml docs/gguf.md; block layouts: ggml src/ggml-common.h.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

#include "core/file.h"
#include "core/result.h"
#include "tensor/shape.h"

namespace octavo::format {

enum class GgufType : uint32_t {
  kF32 = 0,
  kF16 = 1,
  kQ4_0 = 2,
  kQ4_1 = 3,
  kQ5_0 = 6,
  kQ5_1 = 7,
  kQ8_0 = 8,
  kQ4_K = 12,
  kQ5_K = 13,
  kQ6_K = 14,
  kBF16 = 30
};
// nullopt: octavo does not read it.
std::optional<GgufType> GgufTypeOf(uint32_t id);

// How a type lies in the file: blocks of `elements` values that take `bytes` bytes.
struct GgufBlock {
  std::string_view name;
  int64_t elements;
  int64_t bytes;
};
const GgufBlock& BlockOf(GgufType type);

// Of a block that is none of the "K" types.
inline constexpr size_t kGgufBlockElements = 32;

struct GgufTensor {
  std::string name;
  GgufType type;
  tensor::Shape shape;  // outermost first, as PyTorch writes it (GGUF's order reversed)
  core::ByteSpan bytes;
};

// A metadata value: every integer type is widened to int64 (u64 beyond it is refused), both floats
// to double.
using GgufArray = std::variant<std::vector<int64_t>, std::vector<double>, std::vector<bool>,
                               std::vector<std::string>>;
using GgufValue = std::variant<int64_t, double, bool, std::string, GgufArray>;

// One mapped file. Immutable, safe from many threads. Limits: alignment <= 64 KiB, at most 1 << 20
// tensors and as many keys, 1 << 23 list elements in all, metadata <= 512 MiB; tensors must follow
// each other with no hole and no overlap. Lists of lists are refused.
class GgufFile {
 public:
  static core::Result<GgufFile> Open(const std::string& path);
  // Parses bytes in memory; for tests and fuzzing. They must outlive the object.
  static core::Result<GgufFile> Parse(core::ByteSpan bytes);

  const std::vector<GgufTensor>& tensors() const { return tensors_; }
  const GgufTensor* FindTensor(std::string_view name) const;
  const GgufValue* FindValue(std::string_view key) const;
  // Typed access; an absent key or another type is an Error that names the key.
  core::Result<int64_t> GetInt(std::string_view key) const;
  core::Result<double> GetDouble(std::string_view key) const;
  core::Result<std::string> GetString(std::string_view key) const;
  core::Result<std::vector<std::string>> GetStrings(std::string_view key) const;
  const std::unordered_map<std::string, GgufValue>& values() const { return values_; }
  // Gives the mapped pages of this tensor back.
  void DropPages(const GgufTensor& tensor) const;

 private:
  GgufFile() = default;
  std::vector<core::MappedFile> map_;  // none or one
  std::unordered_map<std::string, GgufValue> values_;
  std::vector<GgufTensor> tensors_;
  std::unordered_map<std::string_view, size_t> index_;
};

// The exact f32 values of out.size() elements from element `first` of a tensor on; both are
// multiples of the block's elements and lie inside the tensor.
void GgufDequantize(const GgufTensor& tensor, int64_t first, std::span<float> out);

}  // namespace octavo::format
