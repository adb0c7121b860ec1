#include "compress/plain_rounding.h"

#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "compress/sharded_writer.h"
#include "format/compressed_tensors.h"
#include "format/weight_names.h"
#include "kernels/packed_matrix.h"
#include "quant/rtn.h"

namespace octavo::compress {
namespace {

constexpr std::string_view kWeight = ".weight";

// One tensor of the source and what becomes of it.
struct Item {
  std::string name;
  tensor::TensorView view;
  std::string module;     // of a linear layer that is quantized; empty: copied
  tensor::Scheme scheme;  // of that layer
};

struct Job {
  const format::ModelFolder& source;
  core::ThreadPool& pool;
  core::Progress& progress;
  const core::CancelToken& cancel;
};

int64_t Bytes(const Item& item) {
  return static_cast<int64_t>(item.view.bytes.size());
}

// A linear layer of a block; lm_head is none.
bool IsBlockLinear(const format::WeightName& name) {
  return name.hf.ends_with("_proj");
}

core::Status CheckLinear(const format::ModelFolder& source, const std::string& name) {
  OCTAVO_TRY(const tensor::TensorView view, source.GetTensor(name));
  if (view.rank() == 2 && tensor::IsFloat(view.dtype) && view.elements() > 0) return {};
  return core::Invalid(fmt::format(
      "tensor '{}' is {} {}; a linear layer has two dimensions and type F32, F16 or BF16", name,
      tensor::DTypeName(view.dtype), tensor::ShapeToString(view.shape)));
}

// A group size that does not fit is answered with those that do.
core::Status CheckGroups(const std::string& name, int64_t k, const tensor::Scheme& scheme) {
  if (kernels::PackedMatrix::CanPack(scheme.weight_bits, scheme.group_size, k)) return {};
  std::string sizes;
  for (const int64_t size : {16, 32, 64, 128, 256}) {
    if (kernels::PackedMatrix::CanPack(scheme.weight_bits, size, k))
      sizes += (sizes.empty() ? "" : ", ") + std::to_string(size);
  }
  return core::Usage(fmt::format("groups of {} do not fit '{}' with {} inputs; {}",
                                 scheme.group_size, name, k,
                                 sizes.empty() ? "no group size does" : "possible: " + sizes));
}

core::Result<std::vector<Item>> ListItems(const format::ModelFolder& source,
                                          const model::ModelConfig& config, const LayerPlan& plan) {
  const std::string head_weight = kHeadModule + std::string(kWeight);
  std::vector<Item> items;
  for (const std::string& name : source.tensor_names()) {
    Item item{name, *source.FindTensor(name), "", {}};
    const auto id = format::FindHfName(name);
    if (id && id->suffix == kWeight && IsBlockLinear(*id->name) && id->layer < config.layers) {
      const std::string module = name.substr(0, name.size() - kWeight.size());
      item.scheme = plan.of(id->layer, FusedGroupOf(module));
      if (item.scheme.weight_bits < 16) item.module = module;
    } else if (plan.head && name == head_weight) {
      continue;  // below; a tied model's copy of the embedding is replaced
    }
    items.push_back(std::move(item));
  }
  if (plan.head) {
    const std::string from =
        config.tied_embeddings ? kEmbeddingModule + std::string(kWeight) : head_weight;
    OCTAVO_RETURN_IF_ERROR(CheckLinear(source, from));
    items.push_back({head_weight, *source.FindTensor(from), kHeadModule, *plan.head});
  }
  return items;
}

core::Status CopyTensor(const Job& job, const Item& item, format::SafetensorsWriter& writer) {
  constexpr size_t kPiece = size_t{64} << 20;
  for (size_t at = 0; at < item.view.bytes.size(); at += kPiece) {
    OCTAVO_RETURN_IF_ERROR(job.cancel.Check());
    const size_t bytes = std::min(kPiece, item.view.bytes.size() - at);
    OCTAVO_RETURN_IF_ERROR(writer.Append(item.view.bytes.subspan(at, bytes)));
  }
  return {};
}

core::Status WriteItem(const Job& job, const Item& item, tensor::DType scale_dtype,
                       format::SafetensorsWriter& writer) {
  OCTAVO_RETURN_IF_ERROR(job.cancel.Check());
  if (item.module.empty()) {
    OCTAVO_RETURN_IF_ERROR(CopyTensor(job, item, writer));
  } else {
    auto quantized = item.scheme.per_tensor
                         ? quant::RoundToNearestPerTensor(item.view, item.scheme.weight_bits,
                                                          scale_dtype, job.pool)
                         : quant::RoundToNearest(item.view, item.scheme, scale_dtype, job.pool);
    if (!quantized.ok()) {
      return std::move(quantized).error().Context(job.source.path() + ": tensor '" +
                                                  core::Printable(item.name) + "'");
    }
    OCTAVO_RETURN_IF_ERROR(format::WriteQuantizedLinear(writer, quantized.value(), item.scheme));
  }
  job.source.DropPages(item.view);
  job.progress.Advance(Bytes(item));
  return {};
}

}  // namespace

core::Status CheckGroupSizes(const format::ModelFolder& source, const model::ModelConfig& config,
                             const LayerPlan& plan) {
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    for (const FusedGroup group : kFusedGroups) {
      const tensor::Scheme& scheme = plan.of(layer, group);
      for (const std::string& module : FusedGroupModules(layer, group)) {
        const std::string name = module + std::string(kWeight);
        OCTAVO_RETURN_IF_ERROR(CheckLinear(source, name));
        if (scheme.weight_bits == 16) continue;
        OCTAVO_RETURN_IF_ERROR(CheckGroups(name, source.FindTensor(name)->shape[1], scheme));
      }
    }
  }
  return {};
}

core::Result<uint64_t> WritePlainRounded(const format::ModelFolder& source,
                                         const model::ModelConfig& config, const LayerPlan& plan,
                                         const std::string& folder, uint64_t max_shard_bytes,
                                         core::ThreadPool& pool, core::Progress& progress,
                                         const core::CancelToken& cancel) {
  const Job job{source, pool, progress, cancel};
  OCTAVO_TRY(const std::vector<Item> items, ListItems(source, config, plan));
  // The header of a file comes before its data, so the types of all scales are settled first.
  int64_t linear_bytes = 0;
  for (const Item& item : items) linear_bytes += item.module.empty() ? 0 : Bytes(item);
  job.progress.Begin("choose scales", linear_bytes, "bytes");
  std::vector<TensorGroup> groups;
  std::vector<tensor::DType> scale_dtypes;
  for (const Item& item : items) {
    OCTAVO_RETURN_IF_ERROR(job.cancel.Check());
    tensor::DType scale_dtype = item.view.dtype;
    if (item.module.empty()) {
      groups.push_back({{item.name, item.view.dtype, item.view.shape}});
    } else {
      scale_dtype = quant::ScaleDTypeFor(item.view, item.scheme, job.pool);
      groups.push_back(format::PlanQuantizedLinear(item.module, item.view.shape[0],
                                                   item.view.shape[1], item.scheme, scale_dtype));
      job.source.DropPages(item.view);
      job.progress.Advance(Bytes(item));
    }
    scale_dtypes.push_back(scale_dtype);
  }
  job.progress.End();
  ShardedWriter writer(folder, std::move(groups), max_shard_bytes);
  int64_t all_bytes = 0;
  for (const Item& item : items) all_bytes += Bytes(item);
  job.progress.Begin("quantize", all_bytes, "bytes");
  for (size_t i = 0; i < items.size(); ++i) {
    OCTAVO_TRY(format::SafetensorsWriter * file, writer.NextGroup());
    OCTAVO_RETURN_IF_ERROR(WriteItem(job, items[i], scale_dtypes[i], *file));
  }
  OCTAVO_RETURN_IF_ERROR(writer.Finish());
  job.progress.End();
  return writer.total_bytes();
}

}  // namespace octavo::compress
