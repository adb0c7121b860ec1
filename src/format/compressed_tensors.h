// compressed-tensors: how quantized weights lie in a safetensors file, and the quantization_config
// that says so. Format facts: compressed_tensors/{quantization/quant_args.py,
// compressors/pack_quantized}; docs/format.md.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "core/json.h"
#include "core/pattern.h"
#include "core/result.h"
#include "core/thread_pool.h"
#include "format/model_folder.h"
#include "format/safetensors.h"
#include "tensor/quant_spec.h"
#include "tensor/quantized_tensor.h"

namespace octavo::format {

// pack-quantized: `codes` of one row (signed, `bits` 8 or 4) + 2^(bits-1), low bits first into
// int32 words, the row's tail zero. words.size() == PackedWords(codes.size(), bits).
int64_t PackedWords(int64_t codes, int bits);
void PackRow(std::span<const int8_t> codes, int bits, std::span<int32_t> words);
void UnpackRow(std::span<const int32_t> words, int bits, std::span<int8_t> codes);

// The scheme of the modules that `targets` names: "Linear" for all that no other group names, exact
// names, or "re:" and a pattern (core/pattern.h).
struct SchemeGroup {
  std::vector<std::string> targets;
  tensor::Scheme scheme;
};
// Inputs of down_proj are multiplied by kernels::Hadamard(order, seed) when the model runs, and the
// columns of its stored weights have been.
struct OnlineRotation {
  int64_t order = 0;  // down_proj's inputs
  uint64_t seed = 0;
};
// The quantization_config object of a folder with these groups; the `ignored` modules (names or
// patterns) stay as they are. Groups of both layouts make the folder "mixed-precision", each group
// with its own format. A head that "Linear" covers is named too, for loaders that give it another
// class. Only the classic keys, because other loaders refuse unknown ones.
core::Json MakeQuantizationConfig(const std::vector<SchemeGroup>& groups,
                                  const std::vector<std::string>& ignored);
// The same with a rotation that only octavo runs: quant_method "octavo", so that other loaders
// refuse the folder instead of printing garbage.
core::Json WithOnlineRotation(core::Json quantization_config, const OnlineRotation& down_proj);

// The scheme of one linear module; 16 bits: it stays as it is.
struct LayerScheme {
  std::string module;
  tensor::Scheme scheme;
};
// The same from the schemes of all linear modules of a model, lm_head included: one group for each
// scheme, by exact names but for the largest, which is "Linear"; modules of 16 bits are ignored by
// name. At least one is quantized.
core::Json MakeQuantizationConfig(const std::vector<LayerScheme>& layers);

// What the quantization_config of a folder says about one linear module
// ("model.layers.0.self_attn.q_proj").
class QuantizationConfig {
 public:
  // From the folder's config.json; a folder without one gives an empty object (everything 16 bit).
  // What octavo cannot run (float types, asymmetric weights, sparsity, unknown formats, act-order
  // groups) is refused by name.
  static core::Result<QuantizationConfig> Parse(const core::Json& config);
  bool empty() const { return groups_.empty() && !down_rotation_; }
  // nullopt: the module is not quantized.
  std::optional<tensor::Scheme> SchemeOf(std::string_view module) const;
  const std::optional<OnlineRotation>& down_rotation() const { return down_rotation_; }

 private:
  struct Targets {
    core::Status Add(const std::string& target);
    bool Match(std::string_view module) const;  // by a pattern
    std::unordered_set<std::string> names;
    std::vector<core::Pattern> patterns;
  };
  struct Group {
    Targets targets;
    tensor::Scheme scheme;
  };
  core::Status ReadGroups(const core::Json& object);
  core::Status AddGroup(const core::Json& json, const std::string& folder_format);
  std::vector<Group> groups_;
  Targets ignored_;
  std::optional<OnlineRotation> down_rotation_;
};

// The tensors that one quantized linear of `scheme` takes in the file, in the order in which octavo
// writes them: MODULE.weight_packed, .weight_scale, .weight_shape (pack-quantized) or
// MODULE.weight, .weight_scale (int-quantized), and .input_scale where activations are static. The
// scale of a per-tensor scheme is one number.
std::vector<TensorPlan> PlanQuantizedLinear(std::string_view module, int64_t n, int64_t k,
                                            const tensor::Scheme& scheme,
                                            tensor::DType scale_dtype);
// The bytes of the first of them for the codes of some rows, which may be all; those of rows follow
// each other in the file.
std::vector<int8_t> StoredCodes(tensor::QuantizedTensor rows, const tensor::Scheme& scheme,
                                core::ThreadPool& pool);
// The bytes of the others. The codes of `weight` are not looked at and may be missing. A scheme of
// static activations needs weight.input_scale.
std::vector<std::byte> StoredRest(const tensor::QuantizedTensor& weight,
                                  const tensor::Scheme& scheme);
// Appends them in that order. A scheme of static activations needs weight.input_scale.
core::Status WriteQuantizedLinear(SafetensorsWriter& writer, const tensor::QuantizedTensor& weight,
                                  const tensor::Scheme& scheme);
// A quantized linear of a folder, octavo's or llm-compressor's (codes down to -128), whose codes
// are still in the file, in either layout: the tensors that are there say which. The folder must
// outlive it.
class StoredLinear {
 public:
  // Every shape and type is checked, every scale must be finite and positive; errors name the
  // tensor.
  static core::Result<StoredLinear> Open(const ModelFolder& folder, std::string_view module,
                                         const tensor::Scheme& scheme);
  // Everything but the codes, which are left empty. A per-tensor scale is repeated for each output.
  const tensor::QuantizedTensor& shape() const { return shape_; }
  // Rows first <= n < first + codes.size() / K, as [rows, K]. Bits that no code may have are an
  // Error. Thread-safe.
  core::Status Read(int64_t first, std::span<int8_t> codes) const;
  // The tensor that holds them, the bytes of each row, and whether these are the codes.
  const tensor::TensorView& stored() const { return codes_; }
  int64_t row_bytes() const { return static_cast<int64_t>(codes_.bytes.size()) / shape_.n; }
  bool plain() const { return !packed_ && shape_.bits == 8; }
  // Read for one row, whose bytes are given. codes: [K].
  core::Status Decode(int64_t row, core::ByteSpan bytes, std::span<int8_t> codes) const;
  // The file's pages of the codes are not needed any more.
  void DropPages() const { folder_->DropPages(codes_); }

 private:
  StoredLinear() = default;
  core::Status OpenPacked(std::string_view module);
  core::Status OpenPlain(std::string_view module);
  core::Status ReadScales(std::string_view module, bool per_tensor);
  core::Status ReadInputScale(std::string_view module);
  const ModelFolder* folder_ = nullptr;
  std::string name_;  // of the tensor that holds the codes
  bool packed_ = false;
  tensor::TensorView codes_;
  tensor::QuantizedTensor shape_;
};
// All of it at once.
core::Result<tensor::QuantizedTensor> ReadQuantizedLinear(const ModelFolder& folder,
                                                          std::string_view module,
                                                          const tensor::Scheme& scheme);

}  // namespace octavo::format
