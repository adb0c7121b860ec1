#include "hub/export_gguf.h"

#include <algorithm>

#include <fmt/format.h>

#include "core/version.h"
#include "format/manifest.h"
#include "hub/export_config.h"
#include "hub/export_tokenizer.h"
#include "hub/export_weights.h"

namespace octavo::hub {
namespace {

using format::GgufType;

// general.file_type: what most of the file is (llama.cpp's enum llama_ftype).
uint32_t FileType(const std::vector<WeightExport>& items) {
  std::map<GgufType, uint64_t> bytes;
  GgufType most = GgufType::kF32;
  for (const WeightExport& item : items) bytes[item.plan.type] += GgufDataBytes(item.plan);
  for (const auto& [type, count] : bytes) {
    if (count > bytes[most]) most = type;
  }
  switch (most) {
    case GgufType::kF16:
      return 1;
    case GgufType::kQ4_0:
      return 2;
    case GgufType::kQ8_0:
      return 7;
    case GgufType::kBF16:
      return 32;
    default:
      return 0;
  }
}

core::Status RefuseOctavosOwn(const core::Json& config) {
  const core::Json* quantization = core::Find(config, "quantization_config");
  if (quantization == nullptr) return {};
  OCTAVO_TRY(const auto method, core::GetOptionalString(*quantization, "quant_method"));
  if (method.value_or("") != "octavo") return {};
  return core::Unsupported(
      "the artifact rotates activations at run time (online rotation), which llama.cpp does not; "
      "quantize with --rotate fold for a GGUF file");
}

core::Result<ExportSummary> Export(const format::ModelFolder& folder, const std::string& out_file,
                                   const ExportOptions& options, core::Progress& progress,
                                   const core::CancelToken& cancel) {
  OCTAVO_RETURN_IF_ERROR(RefuseOctavosOwn(folder.config()));
  OCTAVO_TRY(ExportModel model, PlanExport(folder.config()));
  OCTAVO_TRY(WeightExports weights, PlanWeightExports(folder, model, options));
  OCTAVO_TRY(format::GgufMetadata tokenizer, ExportTokenizer(folder.path(), model.vocab_size));
  OCTAVO_TRY(const std::string digest, format::FolderDigest(folder.path()));

  format::GgufMetadata metadata = std::move(model.metadata);
  metadata.emplace_back("general.file_type", FileType(weights.items));
  metadata.emplace_back("general.quantization_version", uint32_t{2});
  metadata.emplace_back("general.quantized_by", fmt::format("octavo {}", core::kVersion));
  metadata.emplace_back("octavo.digest", digest);
  metadata.insert(metadata.end(), std::make_move_iterator(tokenizer.begin()),
                  std::make_move_iterator(tokenizer.end()));

  ExportSummary summary;
  std::vector<format::GgufTensorPlan> plan;
  const auto divisors = static_cast<int64_t>(model.rope_divisors.size());
  if (divisors > 0) plan.push_back({"rope_freqs.weight", GgufType::kF32, {divisors}});
  for (const WeightExport& item : weights.items) plan.push_back(item.plan);
  for (const format::GgufTensorPlan& tensor : plan) {
    summary.bytes += static_cast<int64_t>(format::GgufDataBytes(tensor));
    ++summary.types[std::string(format::BlockOf(tensor.type).name)];
  }
  summary.tensors = static_cast<int64_t>(plan.size());
  summary.notes = std::move(model.notes);
  summary.notes.insert(summary.notes.end(), weights.notes.begin(), weights.notes.end());
  OCTAVO_TRY(format::GgufWriter writer,
             format::GgufWriter::Create(out_file, metadata, std::move(plan)));
  if (divisors > 0) {
    OCTAVO_RETURN_IF_ERROR(writer.Append(std::as_bytes(std::span(model.rope_divisors))));
  }
  OCTAVO_RETURN_IF_ERROR(ExportWeights(folder, model, weights.items, writer, progress, cancel));
  OCTAVO_TRY(summary.sha256, writer.Commit());
  return summary;
}

}  // namespace

core::Result<ExportSummary> ExportGguf(const std::string& model_dir, const std::string& out_file,
                                       const ExportOptions& options, core::Progress& progress,
                                       const core::CancelToken& cancel) {
  OCTAVO_TRY(const format::ModelFolder folder, format::ModelFolder::Open(model_dir));
  return Export(folder, out_file, options, progress, cancel)
      .Context(core::PrintablePath(model_dir));
}

}  // namespace octavo::hub
