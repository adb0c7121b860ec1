#include "hub/gguf_weights.h"

#include <algorithm>

#include <fmt/format.h>

#include "hub/convert.h"

namespace octavo::hub {
namespace {

using format::GgufFile;
using format::GgufTensor;
using format::GgufType;
using format::RowOrder;
using tensor::DType;

constexpr std::string_view kRopeDivisors = "rope_freqs.weight";  // config.json has them

DType StoredType(GgufType type) {
  if (type == GgufType::kF32) return DType::kF32;
  return type == GgufType::kBF16 ? DType::kBF16 : DType::kF16;
}

bool IsNormOfHeads(std::string_view gguf_module) {
  return gguf_module == "blk.{}.attn_q_norm" || gguf_module == "blk.{}.attn_k_norm";
}

// Whether a model of this architecture must have the module's weight.
bool IsRequired(const format::WeightName& name, const GgufModel& model) {
  if (name.gguf == "output") return false;
  return model.architecture->qk_norm || !IsNormOfHeads(name.gguf);
}

core::Status RefuseMissing(const GgufFile& file, const GgufModel& model) {
  for (const format::WeightName& name : format::WeightNames()) {
    if (!IsRequired(name, model)) continue;
    const bool per_layer = name.gguf.find('{') != std::string_view::npos;
    for (int64_t layer = 0; layer < (per_layer ? model.layers : 1); ++layer) {
      const std::string wanted = format::GgufName({&name, layer, ".weight"});
      if (file.FindTensor(wanted) != nullptr) continue;
      return core::NotFound(
          fmt::format("has no tensor '{}'; the file is incomplete, fetch it again", wanted));
    }
  }
  return {};
}

core::Result<WeightImport> PlanOne(const GgufTensor& source, const GgufModel& model,
                                   std::optional<DType> dtype) {
  const auto id = format::FindGgufName(source.name);
  if (!id || (IsNormOfHeads(id->name->gguf) && !model.architecture->qk_norm)) {
    return core::Unsupported(fmt::format("is unknown in a {} model", model.architecture->gguf));
  }
  if (id->layer >= model.layers) {
    return core::Invalid(fmt::format("belongs to layer {}, but the metadata announces {} layers",
                                     id->layer, model.layers));
  }
  if (source.shape.empty() || source.shape.size() > 2) {
    return core::Invalid(fmt::format("has shape {}, expected one or two dimensions",
                                     tensor::ShapeToString(source.shape)));
  }
  WeightImport out{
      &source, {format::HfName(*id), dtype.value_or(StoredType(source.type)), source.shape}, 0};
  if (!model.architecture->permuted || id->name->rows == RowOrder::kSame) return out;
  out.heads = id->name->rows == RowOrder::kQueryHeads ? model.heads : model.kv_heads;
  if (source.shape[0] == out.heads * model.head_dim &&
      (source.shape.size() == 2 || format::BlockOf(source.type).elements == 1)) {
    return out;
  }
  return core::Invalid(fmt::format("has shape {}, expected {} rows for {} heads of {}",
                                   tensor::ShapeToString(source.shape), out.heads * model.head_dim,
                                   out.heads, model.head_dim));
}

// Where the file keeps row `row`: within a head, GGUF holds dimension j of the first half of the
// rotation at 2j and of the second half at 2j + 1.
int64_t SourceRow(int64_t row, int64_t head_dim) {
  const int64_t half = head_dim / 2;
  const int64_t within = row % head_dim;
  return row - within + 2 * (within % half) + within / half;
}

core::Status WriteOne(const WeightImport& import, FloatAppender& out, std::vector<float>& piece,
                      const core::CancelToken& cancel) {
  const tensor::Shape& shape = import.source->shape;
  const int64_t elements = *tensor::ElementCount(shape);
  if (elements == 0) return {};
  const int64_t row = shape.size() == 2 ? shape[1] : import.heads > 0 ? 1 : shape[0];
  const int64_t rows_per_piece = std::max<int64_t>(1, kPieceElements / row);
  for (int64_t first = 0; first < elements / row; first += rows_per_piece) {
    OCTAVO_RETURN_IF_ERROR(cancel.Check());
    const int64_t rows = std::min(rows_per_piece, elements / row - first);
    piece.resize(static_cast<size_t>(rows * row));
    if (import.heads == 0) {
      GgufDequantize(*import.source, first * row, piece);
    } else {
      const int64_t head_dim = shape[0] / import.heads;
      for (int64_t r = 0; r < rows; ++r) {
        GgufDequantize(
            *import.source, SourceRow(first + r, head_dim) * row,
            std::span(piece).subspan(static_cast<size_t>(r * row), static_cast<size_t>(row)));
      }
    }
    OCTAVO_RETURN_IF_ERROR(out.Append(import.source->name, first * row, piece, import.plan.dtype));
  }
  return {};
}

}  // namespace

core::Result<std::vector<WeightImport>> PlanWeights(const GgufFile& file, const GgufModel& model,
                                                    std::optional<DType> dtype) {
  std::vector<WeightImport> imports;
  imports.reserve(file.tensors().size());
  for (const GgufTensor& source : file.tensors()) {
    if (source.name == kRopeDivisors) continue;
    OCTAVO_TRY(WeightImport import,
               PlanOne(source, model, dtype)
                   .Context(fmt::format("tensor '{}'", core::Printable(source.name))));
    imports.push_back(std::move(import));
  }
  OCTAVO_RETURN_IF_ERROR(RefuseMissing(file, model));
  return imports;
}

core::Status WriteWeights(const GgufFile& file, const std::vector<WeightImport>& imports,
                          const std::string& path, core::Progress& progress,
                          const core::CancelToken& cancel) {
  std::vector<format::TensorPlan> plan;
  int64_t source_bytes = 0;
  for (const WeightImport& import : imports) {
    plan.push_back(import.plan);
    source_bytes += static_cast<int64_t>(import.source->bytes.size());
  }
  OCTAVO_TRY(format::SafetensorsWriter writer,
             format::SafetensorsWriter::Create(path, std::move(plan)));
  FloatAppender out(writer);
  std::vector<float> piece;
  progress.Begin("dequantizing", source_bytes, "bytes");
  for (const WeightImport& import : imports) {
    OCTAVO_RETURN_IF_ERROR(WriteOne(import, out, piece, cancel));
    file.DropPages(*import.source);
    progress.Advance(static_cast<int64_t>(import.source->bytes.size()));
  }
  progress.End();
  OCTAVO_TRY(const std::string ignored, writer.Commit());
  static_cast<void>(ignored);
  return {};
}

}  // namespace octavo::hub
