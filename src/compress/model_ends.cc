#include "compress/model_ends.h"

#include <algorithm>
#include <cmath>
#include <string>

#include <fmt/format.h>

#include "format/compressed_tensors.h"
#include "quant/rtn.h"

namespace octavo::compress {
namespace {

constexpr int64_t kRowsPerPiece = 2048;
const std::string kEmbeddingWeight = std::string(kEmbeddingModule) + ".weight";
const std::string kHeadWeight = std::string(kHeadModule) + ".weight";
constexpr char kNorm[] = "model.norm.weight";

}  // namespace

core::Result<ModelEnds> ModelEnds::Open(const format::ModelFolder& source,
                                        const model::ModelConfig& config, const LayerPlan& plan,
                                        const Rotation* rotation, core::ThreadPool& pool) {
  ModelEnds out(source, config, plan, rotation, pool);
  const tensor::Shape shape = {config.vocab_size, config.hidden_size};
  OCTAVO_TRY(out.embedding_, model::GetFloatTensor(source, kEmbeddingWeight, shape));
  out.head_ = out.embedding_;
  if (!config.tied_embeddings) {
    OCTAVO_TRY(out.head_, model::GetFloatTensor(source, kHeadWeight, shape));
  }
  out.untied_ = !config.tied_embeddings || rotation != nullptr || plan.head.has_value();
  OCTAVO_TRY(out.norm_, model::LoadFloats(source, kNorm, config.hidden_size, config.hidden_size));
  out.norm_dtype_ = source.FindTensor(kNorm)->dtype;
  if (plan.head && rotation == nullptr)
    out.head_scale_dtype_ = quant::ScaleDTypeFor(out.head_, *plan.head, pool);
  return out;
}

core::Status ModelEnds::Rows(const tensor::TensorView& matrix, bool head, int64_t first,
                             int64_t count, std::span<float> out) const {
  const auto width = static_cast<size_t>(config_.hidden_size);
  const size_t row_bytes = width * tensor::DTypeSize(matrix.dtype);
  const bool fold = head && rotation_ != nullptr;
  pool_.ParallelFor(count, 16, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const auto row = out.subspan(static_cast<size_t>(i) * width, width);
      tensor::ConvertToFloat(
          matrix.dtype, matrix.bytes.subspan(static_cast<size_t>(first + i) * row_bytes, row_bytes),
          row);
      if (!fold) continue;
      for (size_t k = 0; k < width; ++k) row[k] *= norm_[k];
    }
  });
  if (rotation_ == nullptr) return {};
  rotation_->residual.Apply(out.data(), count, pool_);
  for (size_t i = 0; i < static_cast<size_t>(count) * width; ++i) {
    const float rounded = tensor::RoundToDType(out[i], matrix.dtype);
    if (!std::isfinite(rounded)) {
      return core::Unsupported(fmt::format(
          "tensor '{}' [{}, {}] becomes {} when it is rotated, which {} cannot hold",
          head ? kHeadWeight : kEmbeddingWeight, first + static_cast<int64_t>(i / width), i % width,
          out[i], tensor::DTypeName(matrix.dtype)));
    }
    out[i] = rounded;
  }
  return {};
}

core::Status ModelEnds::Embed(std::span<const int32_t> ids, engine::HiddenStates& states) const {
  std::vector<float> row(static_cast<size_t>(config_.hidden_size));
  for (size_t i = 0; i < ids.size(); ++i) {
    OCTAVO_RETURN_IF_ERROR(Rows(embedding_, false, ids[i], 1, row));
    OCTAVO_RETURN_IF_ERROR(states.Write(static_cast<int64_t>(i), row));
  }
  return {};
}

std::vector<float> ModelEnds::Norm() const {
  if (rotation_ == nullptr) return norm_;
  return std::vector<float>(norm_.size(), 1.0F);
}

core::Result<tensor::QuantizedTensor> ModelEnds::QuantizeHead() const {
  const int64_t rows = config_.vocab_size;
  const int64_t width = config_.hidden_size;
  tensor::QuantizedTensor out;
  out.n = rows;
  out.k = width;
  out.bits = plan_.head->weight_bits;
  out.group_size = width;
  out.scale_dtype = head_scale_dtype_;
  out.codes.reserve(static_cast<size_t>(rows * width));
  std::vector<float> piece(static_cast<size_t>(std::min(rows, kRowsPerPiece) * width));
  for (int64_t first = 0; first < rows; first += kRowsPerPiece) {
    const int64_t count = std::min(kRowsPerPiece, rows - first);
    const auto values = std::span(piece).first(static_cast<size_t>(count * width));
    OCTAVO_RETURN_IF_ERROR(Rows(head_, true, first, count, values));
    const tensor::TensorView view{
        tensor::DType::kF32, {count, width}, std::as_bytes(std::span<const float>(values))};
    OCTAVO_TRY(const tensor::QuantizedTensor part,
               quant::RoundToNearest(view, *plan_.head, head_scale_dtype_, pool_));
    out.codes.insert(out.codes.end(), part.codes.begin(), part.codes.end());
    out.scales.insert(out.scales.end(), part.scales.begin(), part.scales.end());
  }
  source_.DropPages(head_);
  return out;
}

core::Result<model::Linear> ModelEnds::Head() const {
  if (plan_.head) {
    OCTAVO_TRY(const tensor::QuantizedTensor weight, QuantizeHead());
    return model::Linear::Pack(kHeadModule, weight, *plan_.head, {}, pool_);
  }
  if (rotation_ == nullptr) return model::Linear::Pack(kHeadModule, head_, {}, pool_);
  std::vector<float> rows(static_cast<size_t>(config_.vocab_size * config_.hidden_size));
  OCTAVO_RETURN_IF_ERROR(Rows(head_, true, 0, config_.vocab_size, rows));
  const tensor::TensorView view{tensor::DType::kF32, head_.shape,
                                std::as_bytes(std::span<const float>(rows))};
  return model::Linear::Pack(kHeadModule, view, {}, pool_);
}

TensorGroup ModelEnds::PlanFront() const {
  return {{kEmbeddingWeight, embedding_.dtype, embedding_.shape}};
}

std::vector<TensorGroup> ModelEnds::PlanBack() const {
  std::vector<TensorGroup> out = {{{kNorm, norm_dtype_, {config_.hidden_size}}}};
  if (plan_.head) {
    out.push_back(format::PlanQuantizedLinear(kHeadModule, config_.vocab_size, config_.hidden_size,
                                              *plan_.head, head_scale_dtype_));
  } else if (untied_) {
    out.push_back({{kHeadWeight, head_.dtype, head_.shape}});
  }
  return out;
}

core::Status ModelEnds::WriteRows(const tensor::TensorView& matrix, bool head,
                                  format::SafetensorsWriter& writer,
                                  const core::CancelToken& cancel) const {
  const int64_t rows = matrix.shape[0];
  const int64_t width = matrix.shape[1];
  std::vector<float> piece(static_cast<size_t>(std::min(rows, kRowsPerPiece) * width));
  std::vector<std::byte> bytes(piece.size() * tensor::DTypeSize(matrix.dtype));
  for (int64_t first = 0; first < rows; first += kRowsPerPiece) {
    OCTAVO_RETURN_IF_ERROR(cancel.Check());
    const int64_t count = std::min(kRowsPerPiece, rows - first);
    const auto values = std::span(piece).first(static_cast<size_t>(count * width));
    OCTAVO_RETURN_IF_ERROR(Rows(matrix, head, first, count, values));
    const auto stored = std::span(bytes).first(values.size() * tensor::DTypeSize(matrix.dtype));
    tensor::ConvertFromFloat(values, matrix.dtype, stored);
    OCTAVO_RETURN_IF_ERROR(writer.Append(stored));
  }
  source_.DropPages(matrix);
  return {};
}

core::Status ModelEnds::WriteFront(format::SafetensorsWriter& writer,
                                   const core::CancelToken& cancel) const {
  return WriteRows(embedding_, false, writer, cancel);
}

core::Status ModelEnds::WriteBack(size_t index, format::SafetensorsWriter& writer,
                                  const core::CancelToken& cancel) const {
  if (index == 0) {
    const std::vector<float> norm = Norm();
    std::vector<std::byte> bytes(norm.size() * tensor::DTypeSize(norm_dtype_));
    tensor::ConvertFromFloat(norm, norm_dtype_, bytes);
    return writer.Append(bytes);
  }
  if (!plan_.head) return WriteRows(head_, true, writer, cancel);
  OCTAVO_TRY(const tensor::QuantizedTensor weight, QuantizeHead());
  return format::WriteQuantizedLinear(writer, weight, *plan_.head);
}

}  // namespace octavo::compress
