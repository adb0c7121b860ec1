// A linear layer as it runs: packed weights, the kernel chosen for them, and counters read from
// what was really called.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/result.h"
#include "core/thread_pool.h"
#include "format/compressed_tensors.h"
#include "format/model_folder.h"
#include "format/weight_reader.h"
#include "kernels/hadamard.h"
#include "kernels/matmul.h"

namespace octavo::model {

// The activations of layers with float inputs: kF32 as they are, or for weights that are codes in
// fixed point of 24 bits; kBF16 rounded to bf16 (int8 codes are exact in it) and multiplied by the
// CPU's bf16 dot where it has one. Layers with int8 activations are the same in both.
enum class Compute : uint8_t { kF32, kBF16 };

// Tensor `name` of the folder, which must hold floats of that shape.
core::Result<tensor::TensorView> GetFloatTensor(const format::ModelFolder& folder,
                                                const std::string& name,
                                                const tensor::Shape& shape);
// A matrix of floats of the reader's folder, packed.
core::Result<kernels::PackedMatrix> LoadFloatMatrix(format::WeightReader& reader,
                                                    const tensor::TensorView& weight,
                                                    core::ThreadPool& pool);
// A vector of `count` floats as f32, padded with zeros to `padded`.
core::Result<std::vector<float>> LoadFloats(const format::ModelFolder& folder,
                                            const std::string& name, int64_t count, int64_t padded);

// Layers with the same form can share one converted input.
struct InputForm {
  kernels::InputType type = kernels::InputType::kF32;
  float scale = 0;  // of int8 codes; 0: each row has its own
  bool operator==(const InputForm&) const = default;
};

class Linear {
 public:
  // Holds nothing until it is loaded.
  Linear() = default;
  // Packs module MODULE of the folder, as its quantization_config says, checking shape [n, k] and
  // that a bias is there exactly when `bias`.
  static core::Result<Linear> Load(format::WeightReader& reader,
                                   const format::QuantizationConfig& quantization,
                                   const std::string& module, int64_t n, int64_t k, bool bias,
                                   core::ThreadPool& pool);

  // The same from memory. weight: [n, k] floats, or codes of that scheme, with an input_scale
  // exactly where it is static; bias: [n], empty for none. What no kernel runs is an Error.
  static Linear Pack(std::string module, const tensor::TensorView& weight,
                     std::span<const float> bias, core::ThreadPool& pool);
  static core::Result<Linear> Pack(std::string module, const tensor::QuantizedTensor& weight,
                                   const tensor::Scheme& scheme, std::span<const float> bias,
                                   core::ThreadPool& pool);

  const std::string& name() const { return name_; }
  int64_t n() const { return weight_.n(); }
  int64_t k() const { return weight_.k(); }
  const tensor::Scheme& scheme() const { return scheme_; }
  // What the checkpoint stores ("I8", "F16", ...) and what the packed buffer really holds.
  const std::string& stored() const { return stored_; }
  const kernels::PackedMatrix& weight() const { return weight_; }
  const std::vector<float>& bias() const { return bias_; }
  // Bytes that stay in memory.
  int64_t resident_bytes() const;
  // The kernel that the last call used, from the table entry that was called, with "-static" where
  // its input came with a fixed scale; empty before the first.
  std::string kernel() const;
  std::string isa() const;
  int64_t calls() const;

  // The scale of its input codes where activations are static, else 0.
  float input_scale() const { return input_scale_; }
  // What its input must be multiplied by before it is given to Project; nullptr: nothing.
  const kernels::Hadamard* input_rotation() const { return input_rotation_.get(); }
  void set_input_rotation(std::shared_ptr<const kernels::Hadamard> rotation);
  // x: [rows, k] becomes what this layer takes, and that is counted.
  void RotateInput(float* x, int64_t rows, core::ThreadPool& pool) const;
  int64_t rotations() const;

  // The form of activations that this layer's kernel reads.
  InputForm input(Compute compute) const;
  // This layer's part of a matrix product into out: [rows, n] f32.
  kernels::Product product(float* out, bool add) const;

 private:
  explicit Linear(std::string module);
  void SetBias(std::span<const float> bias);
  std::string name_;
  tensor::Scheme scheme_;
  std::string stored_;
  kernels::PackedMatrix weight_;
  std::vector<float> bias_;
  float input_scale_ = 0;
  std::shared_ptr<const kernels::Hadamard> input_rotation_;
  std::unique_ptr<kernels::CallCounter> counter_;
  std::unique_ptr<std::atomic<int64_t>> rotations_;
};

}  // namespace octavo::model
