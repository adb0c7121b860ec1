#include "compress/plain_rounding.h"

#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "compress/rounding_run.h"
#include "format/compressed_tensors.h"
#include "format/weight_names.h"
#include "kernels/packed_matrix.h"
#include "quant/rtn.h"

namespace octavo::compress {
namespace {

constexpr std::string_view kWeight = ".weight";

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

// With the scales of the type of their weights; what F16 scales cannot hold is not known yet.
core::Result<std::vector<RoundingItem>> ListItems(const format::ModelFolder& source,
                                                  const model::ModelConfig& config,
                                                  const LayerPlan& plan) {
  const std::string head_weight = kHeadModule + std::string(kWeight);
  std::vector<RoundingItem> items;
  for (const std::string& name : source.tensor_names()) {
    const tensor::TensorView& view = *source.FindTensor(name);
    RoundingItem item{name, view, "", {}, view.dtype};
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
    const tensor::TensorView& view = *source.FindTensor(from);
    items.push_back({head_weight, view, kHeadModule, *plan.head, view.dtype});
  }
  return items;
}

std::vector<TensorGroup> PlanGroups(const std::vector<RoundingItem>& items) {
  std::vector<TensorGroup> groups;
  for (const RoundingItem& item : items) {
    const tensor::Shape& shape = item.view.shape;
    if (item.module.empty()) {
      groups.push_back({{item.name, item.view.dtype, shape}});
    } else {
      groups.push_back(format::PlanQuantizedLinear(item.module, shape[0], shape[1], item.scheme,
                                                   item.scale_dtype));
    }
  }
  return groups;
}

int64_t Bytes(std::span<const RoundingItem> items) {
  int64_t bytes = 0;
  for (const RoundingItem& item : items) bytes += static_cast<int64_t>(item.view.bytes.size());
  return bytes;
}

// How many items were written, until one whose scales need another type.
core::Result<size_t> WriteUntilMisfit(RoundingRun& run, std::span<const RoundingItem> items) {
  for (size_t i = 0; i < items.size(); ++i) {
    OCTAVO_TRY(const bool fits, run.Write(items[i]));
    if (!fits) return i;
  }
  OCTAVO_RETURN_IF_ERROR(run.Finish());
  return items.size();
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

core::Result<WrittenWeights> WritePlainRounded(const format::ModelFolder& source,
                                               const model::ModelConfig& config,
                                               const LayerPlan& plan, const std::string& folder,
                                               uint64_t max_shard_bytes, core::ThreadPool& pool,
                                               core::Progress& progress,
                                               const core::CancelToken& cancel) {
  OCTAVO_TRY(std::vector<RoundingItem> items, ListItems(source, config, plan));
  format::FrontToBack reader(source);
  // The header of a file comes before its data and holds the types of the scales. Looking at all
  // weights first would read the source twice for the sake of the rare F16 model with rows so small
  // that their scales are F32: such a model starts again once instead.
  for (;;) {
    ShardedWriter writer(folder, PlanGroups(items), max_shard_bytes);
    size_t written = 0;
    {
      RoundingRun run(source, writer, reader, pool, progress, cancel);
      progress.Begin("quantize", Bytes(items), "bytes");
      OCTAVO_TRY(written, WriteUntilMisfit(run, items));
      progress.End();
    }
    if (written == items.size())
      return WrittenWeights{writer.total_bytes(), writer.hashes(), reader.Finish()};
    OCTAVO_RETURN_IF_ERROR(writer.Discard());
    const auto rest = std::span(items).subspan(written);
    progress.Begin("choose scales", Bytes(rest), "bytes");
    for (RoundingItem& item : rest) {
      OCTAVO_RETURN_IF_ERROR(cancel.Check());
      reader.Approach(item.view);
      if (!item.module.empty())
        item.scale_dtype = quant::ScaleDTypeFor(item.view, item.scheme, pool);
      reader.Pass(item.view);
      progress.Advance(static_cast<int64_t>(item.view.bytes.size()));
    }
    progress.End();
  }
}

}  // namespace octavo::compress
