#include "compress/quantize.h"

#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "compress/layer_plan.h"
#include "compress/sharded_writer.h"
#include "core/file.h"
#include "core/json.h"
#include "core/thread_pool.h"
#include "core/version.h"
#include "format/compressed_tensors.h"
#include "format/manifest.h"
#include "format/model_folder.h"
#include "format/weight_names.h"
#include "kernels/packed_matrix.h"
#include "model/config.h"
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

int64_t Bytes(const Item& item) {
  return static_cast<int64_t>(item.view.bytes.size());
}

struct Job {
  const format::ModelFolder& source;
  core::ThreadPool& pool;
  core::Progress& progress;
  const core::CancelToken& cancel;
};

core::Status RefuseQuantized(const core::Json& config) {
  const core::Json* quantization = core::Find(config, "quantization_config");
  if (quantization == nullptr) return {};
  const core::Json* method = core::Find(*quantization, "quant_method");
  return core::Unsupported(fmt::format(
      "is quantized already (quant_method {}); quantize the 16-bit model that it was made from",
      method != nullptr && method->is_string()
          ? "'" + core::Printable(method->get_ref<const std::string&>()) + "'"
          : "unknown"));
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
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    for (const format::WeightName& name : format::WeightNames()) {
      if (!IsBlockLinear(name)) continue;
      const std::string hf_name = format::HfName({&name, layer, kWeight});
      OCTAVO_RETURN_IF_ERROR(CheckLinear(source, hf_name));
      if (plan.blocks.weight_bits == 16) continue;
      OCTAVO_RETURN_IF_ERROR(
          CheckGroups(hf_name, source.FindTensor(hf_name)->shape[1], plan.blocks));
    }
  }
  const std::string head_weight = kHeadModule + std::string(kWeight);
  std::vector<Item> items;
  for (const std::string& name : source.tensor_names()) {
    Item item{name, *source.FindTensor(name), "", {}};
    const auto id = format::FindHfName(name);
    if (plan.blocks.weight_bits < 16 && id && id->suffix == kWeight && IsBlockLinear(*id->name) &&
        id->layer < config.layers) {
      item.module = name.substr(0, name.size() - kWeight.size());
      item.scheme = plan.blocks;
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
    auto quantized = quant::RoundToNearest(item.view, item.scheme, scale_dtype, job.pool);
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

// Writes all weights below `folder` and returns their bytes.
core::Result<uint64_t> WriteWeights(const Job& job, const std::vector<Item>& items,
                                    uint64_t max_shard_bytes, const std::string& folder) {
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

core::Json Details(const std::string& base_digest, const std::string& scheme,
                   const std::vector<Item>& items) {
  core::Json layers = core::Json::object();
  for (const Item& item : items) {
    if (!item.module.empty()) layers[item.module] = tensor::SchemeName(item.scheme);
  }
  return {{"octavo_version", core::kVersion},
          {"base_digest", base_digest},
          {"scheme", scheme},
          {"method", "rtn"},
          {"seed", 0},
          {"layers", std::move(layers)}};
}

}  // namespace

core::Result<QuantizeSummary> Quantize(const std::string& model_dir, const std::string& out_dir,
                                       const QuantizeOptions& options, core::Progress& progress,
                                       const core::CancelToken& cancel) {
  OCTAVO_TRY(const LayerPlan plan, PlanLayers(options.scheme, options.head_bits));
  if (!plan.quantizes())
    return core::Usage("scheme 16 with a head of 16 bits quantizes nothing; try w8a16");
  OCTAVO_TRY(const format::ModelFolder source, format::ModelFolder::Open(model_dir));
  const auto in_source = [&](auto result) { return std::move(result).Context(model_dir); };
  OCTAVO_RETURN_IF_ERROR(in_source(RefuseQuantized(source.config())));
  OCTAVO_TRY(const model::ModelConfig config,
             in_source(model::LoadModelConfig(source.config(), model_dir)));
  OCTAVO_TRY(const std::vector<Item> items, in_source(ListItems(source, config, plan)));
  OCTAVO_TRY(const std::string base_digest, format::FolderDigest(model_dir));

  OCTAVO_TRY(core::AtomicDirectory out, format::CreateOutputFolder(out_dir));
  core::ThreadPool pool(options.threads);
  const Job job{source, pool, progress, cancel};
  QuantizeSummary summary;
  OCTAVO_TRY(const uint64_t bytes,
             WriteWeights(job, items, options.max_shard_bytes, out.staging()));
  OCTAVO_RETURN_IF_ERROR(
      core::WriteFileAtomic(core::JoinPath(out.staging(), "config.json"),
                            core::DumpJson(PlannedConfig(source.config(), plan))));
  for (const std::string& name : format::CompanionFiles(model_dir)) {
    OCTAVO_RETURN_IF_ERROR(
        core::CopyFileAtomic(core::JoinPath(model_dir, name), core::JoinPath(out.staging(), name)));
  }
  core::Json details = Details(base_digest, tensor::SchemeName(plan.blocks), items);
  summary.layers = static_cast<int64_t>(details["layers"].size());
  OCTAVO_TRY(const format::Manifest manifest,
             format::WriteManifest(out.staging(), "artifact", std::move(details)));
  OCTAVO_RETURN_IF_ERROR(out.Commit());
  summary.digest = format::ContentDigest(manifest);
  summary.scheme = tensor::SchemeName(plan.blocks);
  summary.base_weights_bytes = source.weights_bytes();
  summary.weights_bytes = static_cast<int64_t>(bytes);
  return summary;
}

}  // namespace octavo::compress
