#include "compress/rounding_run.h"

#include <algorithm>
#include <span>
#include <utility>
#include <vector>

#include "format/compressed_tensors.h"
#include "quant/rtn.h"

namespace octavo::compress {
namespace {

// Of the source: long enough to be worth handing from thread to thread, short enough that a few of
// them take little memory.
constexpr size_t kPieceBytes = size_t{4} << 20;
// Pieces that wait to be written.
constexpr size_t kMostWaiting = 16;

int64_t RowsOfPiece(const RoundingItem& item) {
  if (item.scheme.per_tensor) return item.view.shape[0];
  const size_t row_bytes = item.view.bytes.size() / static_cast<size_t>(item.view.shape[0]);
  return std::max<int64_t>(1, static_cast<int64_t>(kPieceBytes / row_bytes));
}

tensor::TensorView RowsOf(const tensor::TensorView& matrix, int64_t first, int64_t rows) {
  const size_t row_bytes = matrix.bytes.size() / static_cast<size_t>(matrix.shape[0]);
  return {matrix.dtype,
          {rows, matrix.shape[1]},
          matrix.bytes.subspan(static_cast<size_t>(first) * row_bytes,
                               static_cast<size_t>(rows) * row_bytes)};
}

}  // namespace

RoundingRun::RoundingRun(const format::ModelFolder& source, ShardedWriter& writer,
                         format::FrontToBack& reader, core::ThreadPool& pool,
                         core::Progress& progress, const core::CancelToken& cancel)
    : source_(source),
      reader_(reader),
      pool_(pool),
      progress_(progress),
      cancel_(cancel),
      writer_(writer),
      writing_(kMostWaiting) {}

core::Result<bool> RoundingRun::Write(const RoundingItem& item) {
  OCTAVO_RETURN_IF_ERROR(writing_.Add([this]() -> core::Status {
    OCTAVO_TRY(file_, writer_.NextGroup());
    return {};
  }));
  if (!item.module.empty()) return Round(item);
  OCTAVO_RETURN_IF_ERROR(Copy(item.view));
  return true;
}

core::Status RoundingRun::Finish() {
  OCTAVO_RETURN_IF_ERROR(writing_.Add([this] { return writer_.Finish(); }));
  return writing_.Finish();
}

template <typename T>
core::Status RoundingRun::Append(std::vector<T> data) {
  return writing_.Add(
      [this, data = std::move(data)] { return file_->Append(std::as_bytes(std::span(data))); });
}

core::Status RoundingRun::Copy(const tensor::TensorView& tensor) {
  for (size_t at = 0; at < tensor.bytes.size(); at += kPieceBytes) {
    OCTAVO_RETURN_IF_ERROR(cancel_.Check());
    const size_t bytes = std::min(kPieceBytes, tensor.bytes.size() - at);
    const tensor::TensorView piece{tensor.dtype, {}, tensor.bytes.subspan(at, bytes)};
    reader_.Approach(piece);
    core::Status added = writing_.Add([this, piece]() -> core::Status {
      OCTAVO_RETURN_IF_ERROR(file_->Append(piece.bytes));
      source_.DropPages(piece);
      return {};
    });
    OCTAVO_RETURN_IF_ERROR(added);
    reader_.Pass(piece);
    progress_.Advance(static_cast<int64_t>(bytes));
  }
  return {};
}

core::Result<bool> RoundingRun::Round(const RoundingItem& item) {
  const int64_t n = item.view.shape[0];
  std::vector<float> scales;
  for (int64_t first = 0; first < n; first += RowsOfPiece(item)) {
    OCTAVO_RETURN_IF_ERROR(cancel_.Check());
    const int64_t rows = std::min(RowsOfPiece(item), n - first);
    const tensor::TensorView piece = RowsOf(item.view, first, rows);
    reader_.Approach(piece);
    if (item.scale_dtype == tensor::DType::kF16 &&
        quant::ScaleDTypeFor(piece, item.scheme, pool_) != item.scale_dtype)
      return false;
    auto rounded = item.scheme.per_tensor
                       ? quant::RoundToNearestPerTensor(item.view, item.scheme.weight_bits,
                                                        item.scale_dtype, pool_)
                       : quant::RoundRowsToNearest(item.view, first, rows, item.scheme,
                                                   item.scale_dtype, pool_);
    if (!rounded.ok()) {
      return std::move(rounded).error().Context(source_.path() + ": tensor '" +
                                                core::Printable(item.name) + "'");
    }
    reader_.Pass(piece);
    tensor::QuantizedTensor& part = rounded.value();
    scales.insert(scales.end(), part.scales.begin(), part.scales.end());
    OCTAVO_RETURN_IF_ERROR(Append(format::StoredCodes(std::move(part), item.scheme, pool_)));
    progress_.Advance(static_cast<int64_t>(piece.bytes.size()));
  }
  tensor::QuantizedTensor whole;
  whole.n = n;
  whole.k = item.view.shape[1];
  whole.scale_dtype = item.scale_dtype;
  whole.scales = std::move(scales);
  OCTAVO_RETURN_IF_ERROR(Append(format::StoredRest(whole, item.scheme)));
  return true;
}

}  // namespace octavo::compress
