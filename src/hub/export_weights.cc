#include "hub/export_weights.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "format/gguf_encode.h"
#include "format/weight_names.h"
#include "hub/convert.h"

namespace octavo::hub {
namespace {

using format::GgufType;
using format::ModelFolder;
using format::RowOrder;
using tensor::DType;
using tensor::Scheme;

constexpr int64_t kBlock = 32;
constexpr std::string_view kWeight = ".weight";

bool EndsInOneOf(std::string_view name, std::initializer_list<std::string_view> ends) {
  return std::any_of(ends.begin(), ends.end(), [&](auto end) { return name.ends_with(end); });
}

bool IsNormOfHeads(const format::WeightName& name) {
  return name.hf.ends_with("q_norm") || name.hf.ends_with("k_norm");
}

bool IsLinear(const format::WeightName& name) {
  return name.hf.ends_with("_proj") || name.hf == "lm_head";
}

// The largest relative change that rounding the scales to F16 makes; an Error names one that F16
// cannot hold at all, or any change where none is allowed.
core::Result<double> CheckScales(const tensor::QuantizedTensor& weight, bool may_round) {
  double worst = 0;
  for (size_t i = 0; i < weight.scales.size(); ++i) {
    const float scale = weight.scales[i];
    if (format::FitsF16(scale)) continue;
    const float rounded = tensor::RoundToDType(scale, DType::kF16);
    if (rounded == 0 || std::isinf(rounded)) {
      return core::Unsupported(fmt::format("scale {} is {}, which is beyond F16", i, scale));
    }
    if (!may_round) {
      return core::Unsupported(
          fmt::format("scale {} is {}, which F16 cannot hold exactly, so that the file would hold "
                      "other weights; --round-scales rounds such scales",
                      i, scale));
    }
    worst = std::max(worst, std::fabs(static_cast<double>(rounded) / scale - 1));
  }
  return worst;
}

class Planner {
 public:
  Planner(const ModelFolder& folder, const ExportModel& model, const ExportOptions& options,
          const format::QuantizationConfig& quantization)
      : folder_(folder), model_(model), options_(options), quantization_(quantization) {}

  core::Result<WeightExports> Plan() {
    for (const std::string& name : folder_.tensor_names()) {
      OCTAVO_RETURN_IF_ERROR(Add(name).Context("tensor '" + core::Printable(name) + "'"));
    }
    OCTAVO_RETURN_IF_ERROR(RefuseMissing());
    if (rounded_ > 0) {
      out_.notes.push_back(fmt::format(
          "the scales of {} tensors were rounded to F16, by at most {:.3g} of their size", rounded_,
          worst_));
    }
    if (int8_activations_) {
      out_.notes.push_back(
          "the artifact's INT8 activations are not part of a GGUF file: llama.cpp quantizes "
          "activations itself, in blocks of 32");
    }
    return std::move(out_);
  }

 private:
  core::Status Add(const std::string& name) {
    // Beside the codes of their module, or computed by every runtime.
    if (EndsInOneOf(name,
                    {".weight_scale", ".weight_shape", ".input_scale", ".rotary_emb.inv_freq"}))
      return {};
    constexpr std::string_view kPacked = ".weight_packed";
    const bool packed = name.ends_with(kPacked);
    const std::string module = packed ? name.substr(0, name.size() - kPacked.size())
                               : name.ends_with(kWeight)
                                   ? name.substr(0, name.size() - kWeight.size())
                                   : "";
    const auto id = format::FindHfName(packed ? module + std::string(kWeight) : name);
    if (!id || id->layer >= model_.layers ||
        (IsNormOfHeads(*id->name) && !model_.architecture->qk_norm)) {
      return core::Unsupported(fmt::format("has no place in a {} file of {} layers",
                                           model_.architecture->gguf, model_.layers));
    }
    if (id->name->gguf == "output" && model_.tied) return {};
    WeightExport item{name, std::nullopt, {format::GgufName(*id), GgufType::kF32, {}}, 0};
    const auto scheme =
        IsLinear(*id->name) && !module.empty() ? quantization_.SchemeOf(module) : std::nullopt;
    if (scheme) {
      item.source = module;
      item.scheme = scheme;
      OCTAVO_RETURN_IF_ERROR(PlanCodes(item));
    } else {
      OCTAVO_RETURN_IF_ERROR(PlanFloats(item));
    }
    OCTAVO_RETURN_IF_ERROR(PlanRows(*id->name, item));
    out_.items.push_back(std::move(item));
    return {};
  }

  core::Status PlanCodes(WeightExport& item) {
    OCTAVO_TRY(const format::StoredLinear stored,
               format::StoredLinear::Open(folder_, item.source, *item.scheme));
    const tensor::QuantizedTensor& weight = stored.shape();
    if (weight.k % kBlock != 0 || weight.group_size % kBlock != 0) {
      return core::Unsupported(fmt::format(
          "has {} inputs in groups of {}; GGUF's blocks take groups of a multiple of 32", weight.k,
          weight.group_size));
    }
    OCTAVO_TRY(const double change, CheckScales(weight, options_.round_scales));
    if (change > 0) ++rounded_;
    worst_ = std::max(worst_, change);
    int8_activations_ =
        int8_activations_ || item.scheme->activations != tensor::Activations::kFloat;
    item.plan.type = weight.bits == 8 ? GgufType::kQ8_0 : GgufType::kQ4_0;
    item.plan.shape = {weight.n, weight.k};
    return {};
  }

  core::Status PlanFloats(WeightExport& item) {
    OCTAVO_TRY(const tensor::TensorView view, folder_.GetTensor(item.source));
    if (!tensor::IsFloat(view.dtype) || view.rank() < 1 || view.rank() > 2 || view.elements() < 1) {
      return core::Invalid(fmt::format("is {} {}, expected floats of one or two dimensions",
                                       tensor::DTypeName(view.dtype),
                                       tensor::ShapeToString(view.shape)));
    }
    item.plan.shape = view.shape;
    if (view.rank() == 1) return {};  // llama.cpp wants vectors in F32
    item.plan.type = options_.type;
    if (view.shape[1] % format::BlockOf(options_.type).elements == 0) return {};
    item.plan.type = GgufType::kF16;
    out_.notes.push_back(fmt::format("'{}' stays F16: its rows of {} are no whole blocks of {}",
                                     item.source, view.shape[1],
                                     format::BlockOf(options_.type).name));
    return {};
  }

  // Rows of Q and K are interleaved where the architecture wants it.
  core::Status PlanRows(const format::WeightName& name, WeightExport& item) const {
    if (!model_.architecture->permuted || name.rows == RowOrder::kSame) return {};
    item.heads = name.rows == RowOrder::kQueryHeads ? model_.heads : model_.kv_heads;
    if (item.plan.shape[0] == item.heads * model_.head_dim) return {};
    return core::Invalid(fmt::format("has {} rows, expected {} heads of {}", item.plan.shape[0],
                                     item.heads, model_.head_dim));
  }

  core::Status RefuseMissing() const {
    for (const format::WeightName& name : format::WeightNames()) {
      if (name.gguf == "output" && model_.tied) continue;
      if (IsNormOfHeads(name) && !model_.architecture->qk_norm) continue;
      const bool per_layer = name.gguf.find('{') != std::string_view::npos;
      for (int64_t layer = 0; layer < (per_layer ? model_.layers : 1); ++layer) {
        const std::string wanted = format::GgufName({&name, layer, kWeight});
        const auto has = [&](const WeightExport& item) { return item.plan.name == wanted; };
        if (std::any_of(out_.items.begin(), out_.items.end(), has)) continue;
        return core::NotFound(fmt::format("has no tensor '{}'; the folder is incomplete",
                                          format::HfName({&name, layer, kWeight})));
      }
    }
    return {};
  }

  const ModelFolder& folder_;
  const ExportModel& model_;
  const ExportOptions& options_;
  const format::QuantizationConfig& quantization_;
  WeightExports out_;
  int64_t rounded_ = 0;  // tensors whose scales change
  double worst_ = 0;
  bool int8_activations_ = false;
};

// Where the folder keeps row `row` of the file: within a head, GGUF puts dimension j of the first
// half of the rotation at 2j and of the second half at 2j + 1.
int64_t SourceRow(int64_t row, int64_t heads, int64_t head_dim) {
  if (heads == 0) return row;
  const int64_t within = row % head_dim;
  return row - within + within % 2 * (head_dim / 2) + within / 2;
}

core::Status WriteCodes(const ModelFolder& folder, const WeightExport& item, int64_t head_dim,
                        format::GgufWriter& writer, const core::CancelToken& cancel) {
  OCTAVO_TRY(const format::StoredLinear stored,
             format::StoredLinear::Open(folder, item.source, *item.scheme));
  const tensor::QuantizedTensor& weight = stored.shape();
  const auto groups = static_cast<size_t>(weight.groups());
  const int64_t rows_per_piece = std::max<int64_t>(1, kPieceElements / weight.k);
  const format::GgufBlock& block = format::BlockOf(item.plan.type);
  const auto row_bytes = static_cast<size_t>(weight.k / block.elements * block.bytes);
  std::vector<int8_t> codes(static_cast<size_t>(weight.k));
  std::vector<std::byte> piece;
  for (int64_t first = 0; first < weight.n; first += rows_per_piece) {
    OCTAVO_RETURN_IF_ERROR(cancel.Check());
    const int64_t rows = std::min(rows_per_piece, weight.n - first);
    piece.resize(static_cast<size_t>(rows) * row_bytes);
    for (int64_t r = 0; r < rows; ++r) {
      const int64_t row = SourceRow(first + r, item.heads, head_dim);
      OCTAVO_RETURN_IF_ERROR(stored.Read(row, codes));
      format::GgufCopyCodes(
          item.plan.type, codes,
          std::span(weight.scales).subspan(static_cast<size_t>(row) * groups, groups),
          std::span(piece).subspan(static_cast<size_t>(r) * row_bytes, row_bytes));
    }
    OCTAVO_RETURN_IF_ERROR(writer.Append(piece));
  }
  stored.DropPages();
  return {};
}

// f32 values in the type of the file.
core::Status Encode(const WeightExport& item, int64_t first, std::span<const float> values,
                    std::vector<std::byte>& out) {
  const format::GgufBlock& block = format::BlockOf(item.plan.type);
  out.resize(values.size() / static_cast<size_t>(block.elements) *
             static_cast<size_t>(block.bytes));
  if (item.plan.type == GgufType::kQ8_0) {
    const auto bad =
        std::find_if(values.begin(), values.end(), [](float x) { return !std::isfinite(x); });
    if (bad == values.end() && format::GgufQuantizeQ8_0(values, out)) return {};
    return core::Invalid(fmt::format("tensor '{}': elements {} to {} hold a value beyond Q8_0",
                                     item.source, first,
                                     first + static_cast<int64_t>(values.size()) - 1));
  }
  const DType dtype = item.plan.type == GgufType::kF32   ? DType::kF32
                      : item.plan.type == GgufType::kF16 ? DType::kF16
                                                         : DType::kBF16;
  OCTAVO_RETURN_IF_ERROR(CheckRange(item.source, first, values, dtype, "--type bf16"));
  tensor::ConvertFromFloat(values, dtype, out);
  return {};
}

core::Status WriteFloats(const ModelFolder& folder, const WeightExport& item, int64_t head_dim,
                         format::GgufWriter& writer, const core::CancelToken& cancel) {
  OCTAVO_TRY(const tensor::TensorView view, folder.GetTensor(item.source));
  // A vector whose elements change places is a matrix of one column.
  const int64_t columns = view.rank() == 2 ? view.shape[1] : item.heads > 0 ? 1 : view.shape[0];
  const int64_t all_rows = view.elements() / columns;
  const size_t row_bytes = static_cast<size_t>(columns) * tensor::DTypeSize(view.dtype);
  const int64_t rows_per_piece = std::max<int64_t>(1, kPieceElements / columns);
  std::vector<float> values;
  std::vector<std::byte> encoded;
  for (int64_t first = 0; first < all_rows; first += rows_per_piece) {
    OCTAVO_RETURN_IF_ERROR(cancel.Check());
    const int64_t rows = std::min(rows_per_piece, all_rows - first);
    values.resize(static_cast<size_t>(rows * columns));
    for (int64_t r = 0; r < rows; ++r) {
      const auto row = static_cast<size_t>(SourceRow(first + r, item.heads, head_dim));
      tensor::ConvertToFloat(view.dtype, view.bytes.subspan(row * row_bytes, row_bytes),
                             std::span(values).subspan(static_cast<size_t>(r * columns),
                                                       static_cast<size_t>(columns)));
    }
    OCTAVO_RETURN_IF_ERROR(Encode(item, first * columns, values, encoded));
    OCTAVO_RETURN_IF_ERROR(writer.Append(encoded));
  }
  folder.DropPages(view);
  return {};
}

}  // namespace

core::Result<WeightExports> PlanWeightExports(const ModelFolder& folder, const ExportModel& model,
                                              const ExportOptions& options) {
  OCTAVO_TRY(const auto quantization, format::QuantizationConfig::Parse(folder.config()));
  return Planner(folder, model, options, quantization).Plan();
}

core::Status ExportWeights(const ModelFolder& folder, const ExportModel& model,
                           const std::vector<WeightExport>& items, format::GgufWriter& writer,
                           core::Progress& progress, const core::CancelToken& cancel) {
  int64_t bytes = 0;
  for (const WeightExport& item : items)
    bytes += static_cast<int64_t>(format::GgufDataBytes(item.plan));
  progress.Begin("export", bytes, "bytes");
  for (const WeightExport& item : items) {
    OCTAVO_RETURN_IF_ERROR(item.scheme ? WriteCodes(folder, item, model.head_dim, writer, cancel)
                                       : WriteFloats(folder, item, model.head_dim, writer, cancel));
    progress.Advance(static_cast<int64_t>(format::GgufDataBytes(item.plan)));
  }
  progress.End();
  return {};
}

}  // namespace octavo::hub
