// Plain rounding from disk to disk: while one piece is rounded, the one before it is written, and
// the source is hashed as it passes.
#pragma once

#include <string>
#include <vector>

#include "compress/sharded_writer.h"
#include "core/lane.h"
#include "core/progress.h"
#include "core/result.h"
#include "core/thread_pool.h"
#include "format/front_to_back.h"
#include "format/model_folder.h"
#include "tensor/quant_spec.h"

namespace octavo::compress {

// One tensor of the source and what becomes of it.
struct RoundingItem {
  std::string name;
  tensor::TensorView view;
  std::string module;         // of a linear layer that is quantized; empty: copied
  tensor::Scheme scheme;      // of that layer
  tensor::DType scale_dtype;  // of that layer
};

// Writes items, group by group of `writer`, in the memory of a few pieces; an item of a per-tensor
// scheme takes that of its codes. Everything must outlive it; for one thread to call.
class RoundingRun {
 public:
  RoundingRun(const format::ModelFolder& source, ShardedWriter& writer, format::FrontToBack& reader,
              core::ThreadPool& pool, core::Progress& progress, const core::CancelToken& cancel);

  // False if the scales of this item need F32 rather than item.scale_dtype; the run is of no use
  // then. Errors may be those of an earlier item, whose data had still to be written.
  core::Result<bool> Write(const RoundingItem& item);
  // After the last item: finishes the writer.
  core::Status Finish();

 private:
  template <typename T>
  core::Status Append(std::vector<T> data);
  core::Status Copy(const tensor::TensorView& tensor);
  core::Result<bool> Round(const RoundingItem& item);

  const format::ModelFolder& source_;
  format::FrontToBack& reader_;
  core::ThreadPool& pool_;
  core::Progress& progress_;
  const core::CancelToken& cancel_;
  ShardedWriter& writer_;                      // of the writing thread until Finish
  format::SafetensorsWriter* file_ = nullptr;  // the same
  core::Lane writing_;
};

}  // namespace octavo::compress
