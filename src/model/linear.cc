#include "model/linear.h"

#include <algorithm>

#include "core/check.h"

namespace octavo::model {
namespace {

core::Error WrongShape(const std::string& name, const tensor::TensorView& view,
                       const tensor::Shape& want) {
  return core::Invalid("tensor '" + name + "' is " + std::string(tensor::DTypeName(view.dtype)) +
                       " " + tensor::ShapeToString(view.shape) +
                       ", config.json asks for floats of shape " + tensor::ShapeToString(want));
}

// Refused rather than widened.
core::Status CheckRunnable(const std::string& module, const tensor::Scheme& scheme, int64_t k) {
  const bool codes = scheme.activations != tensor::Activations::kFloat;
  const bool is_static = scheme.activations == tensor::Activations::kStaticPerTensor;
  const bool grouped = scheme.group_size != 0 && scheme.group_size != k;
  if ((is_static && scheme.weight_bits != 8) || (codes && scheme.weight_bits == 8 && grouped)) {
    return core::Unsupported("layer '" + module + "' is stored as " + tensor::SchemeName(scheme) +
                             "; this version runs w8a16, w8a16-gN, w8a8, w8a8-static, w4a16-gN and "
                             "w4a8-gN, and will not widen it");
  }
  if (!kernels::PackedMatrix::CanPack(scheme.weight_bits, scheme.group_size, k)) {
    return core::Unsupported("layer '" + module + "' is stored as " + tensor::SchemeName(scheme) +
                             " with " + std::to_string(k) +
                             " inputs; groups must divide them and be multiples of " +
                             (scheme.weight_bits == 4 ? "16" : "4"));
  }
  if (k > kernels::kMaxIntegerInputs) {
    return core::Unsupported("layer '" + module + "' has " + std::to_string(k) +
                             " inputs; an integer sum takes at most " +
                             std::to_string(kernels::kMaxIntegerInputs));
  }
  return {};
}

// pack(rows) with the rows of a matrix as `reader` brings them, some for each thread of the pool.
template <typename Pack>
core::Result<kernels::PackedMatrix> PackStored(
    format::WeightReader& reader, const tensor::TensorView& matrix,
    const std::optional<kernels::PackedMatrix::DecodeRow>& decode, const Pack& pack,
    core::ThreadPool& pool) {
  // More threads than that pack faster than disks read.
  constexpr int kThreads = 8;
  const int64_t row_bytes = static_cast<int64_t>(matrix.bytes.size()) / matrix.shape[0];
  const int64_t rows = kernels::kPanelFeatures * std::min(pool.size(), kThreads);
  OCTAVO_RETURN_IF_ERROR(reader.Begin(matrix, static_cast<size_t>(rows * row_bytes)));
  const auto next = [&] { return reader.Next(); };
  OCTAVO_TRY(kernels::PackedMatrix packed,
             pack(kernels::PackedMatrix::StoredRows{row_bytes, next, decode}));
  reader.End();
  return packed;
}

}  // namespace

core::Result<tensor::TensorView> GetFloatTensor(const format::ModelFolder& folder,
                                                const std::string& name,
                                                const tensor::Shape& shape) {
  OCTAVO_TRY(tensor::TensorView view, folder.GetTensor(name));
  if (!tensor::IsFloat(view.dtype) || view.shape != shape) return WrongShape(name, view, shape);
  return view;
}

core::Result<kernels::PackedMatrix> LoadFloatMatrix(format::WeightReader& reader,
                                                    const tensor::TensorView& weight,
                                                    core::ThreadPool& pool) {
  const auto pack = [&](const kernels::PackedMatrix::StoredRows& rows) {
    return kernels::PackedMatrix::Pack(weight, rows, pool);
  };
  return PackStored(reader, weight, std::nullopt, pack, pool);
}

core::Result<std::vector<float>> LoadFloats(const format::ModelFolder& folder,
                                            const std::string& name, int64_t count,
                                            int64_t padded) {
  OCTAVO_TRY(const tensor::TensorView view, GetFloatTensor(folder, name, {count}));
  std::vector<float> out(static_cast<size_t>(padded), 0.0F);
  tensor::ConvertToFloat(view.dtype, view.bytes, std::span(out).first(static_cast<size_t>(count)));
  return out;
}

Linear::Linear(std::string module)
    : name_(std::move(module)), counter_(std::make_unique<kernels::CallCounter>()) {}

void Linear::SetBias(std::span<const float> bias) {
  bias_.assign(bias.begin(), bias.end());
  if (!bias_.empty())
    bias_.resize(static_cast<size_t>(weight_.blocks() * kernels::kBlockFeatures), 0.0F);
}

Linear Linear::Pack(std::string module, const tensor::TensorView& weight,
                    std::span<const float> bias, core::ThreadPool& pool) {
  Linear out(std::move(module));
  out.stored_ = tensor::DTypeName(weight.dtype);
  out.weight_ = kernels::PackedMatrix::Pack(weight, pool);
  out.SetBias(bias);
  return out;
}

core::Result<Linear> Linear::Pack(std::string module, const tensor::QuantizedTensor& weight,
                                  const tensor::Scheme& scheme, std::span<const float> bias,
                                  core::ThreadPool& pool) {
  OCTAVO_RETURN_IF_ERROR(CheckRunnable(module, scheme, weight.k));
  OCTAVO_CHECK((scheme.activations == tensor::Activations::kStaticPerTensor) ==
               weight.input_scale.has_value());
  Linear out(std::move(module));
  out.scheme_ = scheme;
  out.input_scale_ = weight.input_scale.value_or(0.0F);
  out.stored_ = scheme.weight_bits == 4 ? "I4" : "I8";
  out.weight_ = kernels::PackedMatrix::Pack(weight, pool);
  out.SetBias(bias);
  return out;
}

core::Result<Linear> Linear::Load(format::WeightReader& reader,
                                  const format::QuantizationConfig& quantization,
                                  const std::string& module, int64_t n, int64_t k, bool bias,
                                  core::ThreadPool& pool) {
  const format::ModelFolder& folder = reader.folder();
  Linear out(module);
  const auto scheme = quantization.SchemeOf(module);
  if (scheme) {
    OCTAVO_RETURN_IF_ERROR(CheckRunnable(module, *scheme, k));
    OCTAVO_TRY(const format::StoredLinear stored,
               format::StoredLinear::Open(folder, module, *scheme));
    const tensor::QuantizedTensor& weight = stored.shape();
    if (weight.n != n || weight.k != k) {
      return core::Invalid("layer '" + module + "' holds codes of shape " +
                           tensor::ShapeToString({weight.n, weight.k}) + ", config.json asks for " +
                           tensor::ShapeToString({n, k}));
    }
    out.scheme_ = *scheme;
    out.input_scale_ = weight.input_scale.value_or(0.0F);
    out.stored_ = scheme->weight_bits == 4 ? "I4" : "I8";
    const auto decode = [&](int64_t row, core::ByteSpan bytes, std::span<int8_t> codes) {
      return stored.Decode(row, bytes, codes);
    };
    std::optional<kernels::PackedMatrix::DecodeRow> by;
    if (!stored.plain()) by = decode;
    const auto pack = [&](const kernels::PackedMatrix::StoredRows& rows) {
      return kernels::PackedMatrix::Pack(weight, rows, pool);
    };
    OCTAVO_TRY(out.weight_, PackStored(reader, stored.stored(), by, pack, pool));
  } else {
    OCTAVO_TRY(const tensor::TensorView view, GetFloatTensor(folder, module + ".weight", {n, k}));
    out.stored_ = tensor::DTypeName(view.dtype);
    OCTAVO_TRY(out.weight_, LoadFloatMatrix(reader, view, pool));
  }
  if (bias) {
    OCTAVO_TRY(const std::vector<float> floats, LoadFloats(folder, module + ".bias", n, n));
    out.SetBias(floats);
  }
  return out;
}

int64_t Linear::resident_bytes() const {
  return weight_.bytes() + static_cast<int64_t>(bias_.size() * sizeof(float));
}

std::string Linear::kernel() const {
  const kernels::MatMulEntry* entry = counter_->entry.load(std::memory_order_relaxed);
  if (entry == nullptr) return "";
  const bool fixed = counter_->fixed_scale.load(std::memory_order_relaxed) != 0;
  return std::string(entry->name) + (fixed ? "-static" : "");
}

std::string Linear::isa() const {
  const kernels::MatMulEntry* entry = counter_->entry.load(std::memory_order_relaxed);
  return entry == nullptr ? "" : entry->isa;
}

int64_t Linear::calls() const {
  return counter_->calls.load(std::memory_order_relaxed);
}

void Linear::set_input_rotation(std::shared_ptr<const kernels::Hadamard> rotation) {
  OCTAVO_CHECK(rotation == nullptr || rotation->n() == k());
  input_rotation_ = std::move(rotation);
  rotations_ = std::make_unique<std::atomic<int64_t>>(0);
}

void Linear::RotateInput(float* x, int64_t rows, core::ThreadPool& pool) const {
  if (input_rotation_ == nullptr) return;
  input_rotation_->Apply(x, rows, pool);
  rotations_->fetch_add(1, std::memory_order_relaxed);
}

int64_t Linear::rotations() const {
  return rotations_ == nullptr ? 0 : rotations_->load(std::memory_order_relaxed);
}

InputForm Linear::input(Compute compute) const {
  using kernels::InputType;
  if (scheme_.activations != tensor::Activations::kFloat) return {InputType::kI8, input_scale_};
  if (compute == Compute::kBF16 && kernels::FindMatMul(InputType::kBf16, weight_) != nullptr)
    return {InputType::kBf16, 0};
  const bool floats = kernels::FindMatMul(InputType::kF32, weight_) != nullptr;
  return {floats ? InputType::kF32 : InputType::kI24, 0};
}

kernels::Product Linear::product(float* out, bool add) const {
  return {&weight_, bias_.empty() ? nullptr : bias_.data(), out, counter_.get(), add};
}

}  // namespace octavo::model
