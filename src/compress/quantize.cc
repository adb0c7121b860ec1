#include "compress/quantize.h"

#include <optional>
#include <utility>

#include <fmt/format.h>

#include "compress/block_store.h"
#include "compress/block_walk.h"
#include "compress/calibration.h"
#include "compress/folds.h"
#include "compress/forecast.h"
#include "compress/layer_plan.h"
#include "compress/mixed_plan.h"
#include "compress/model_ends.h"
#include "compress/plain_rounding.h"
#include "compress/sensitivity_document.h"
#include "compress/sharded_writer.h"
#include "compress/static_scale.h"
#include "core/file.h"
#include "core/json.h"
#include "core/thread_pool.h"
#include "core/version.h"
#include "format/compressed_tensors.h"
#include "format/manifest.h"
#include "format/model_folder.h"
#include "kernels/dispatch.h"
#include "model/config.h"

namespace octavo::compress {
namespace {

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

core::Result<Calibration> LoadCalibration(const std::string& folder,
                                          const model::ModelConfig& config) {
  if (folder.empty()) {
    return core::Usage(
        "this needs activations: give --calibration DIR, made by `octavo calibrate MODEL --prompts "
        "F.jsonl --out DIR`");
  }
  OCTAVO_TRY(Calibration calibration, ReadCalibration(folder));
  OCTAVO_RETURN_IF_ERROR(CheckTokens(calibration, config).Context(folder));
  return calibration;
}

// The plan of mixed:BITS, from the document that was given or from measuring here.
core::Result<LayerPlan> PlanFor(const QuantizeOptions& options, const std::string& out_dir,
                                const format::ModelFolder& source, const model::ModelConfig& config,
                                core::ThreadPool& pool, core::Progress& progress,
                                const core::CancelToken& cancel) {
  OCTAVO_TRY(const std::optional<double> bits, ParseMixed(options.scheme));
  if (!bits) return PlanLayers(options.scheme, options.head_bits);
  std::vector<GroupSensitivity> groups;
  if (options.sensitivity.empty()) {
    OCTAVO_TRY(const Calibration calibration, LoadCalibration(options.calibration, config));
    // A folder that may not be replaced is told before the long work.
    OCTAVO_RETURN_IF_ERROR(format::CreateOutputFolder(out_dir));
    const SensitivityOptions measured = {MixedMenu()};
    OCTAVO_TRY(SensitivityJournal journal, SensitivityJournal::Open(out_dir, source, config.layers,
                                                                    calibration.digest, measured));
    OCTAVO_TRY(groups, MeasureSensitivity(source, config, calibration.samples, measured, journal,
                                          pool, progress, cancel));
  } else {
    OCTAVO_TRY(const core::Json document, core::ReadJsonFile(options.sensitivity));
    OCTAVO_TRY(groups, ReadSensitivity(document, config.layers).Context(options.sensitivity));
  }
  return PlanMixed(groups, *bits, options.head_bits);
}

// Everything that one run of quantize works on.
struct Job {
  const format::ModelFolder& source;
  const model::ModelConfig& config;
  const LayerPlan& plan;
  const Recipe& recipe;
  const QuantizeOptions& options;
  core::ThreadPool& pool;
  core::Progress& progress;
  const core::CancelToken& cancel;

  // As the user gave it.
  const std::string& scheme_name() const { return options.scheme; }
  bool needs_calibration() const { return recipe.needs_calibration() || plan.has_static(); }
};

// What octavo.json says of the layers and of how they were made.
core::Json Details(const Job& job, const std::string& base_digest,
                   const std::string& calibration_digest) {
  core::Json layers = core::Json::object();
  for (int64_t layer = 0; layer < job.config.layers; ++layer) {
    for (const FusedGroup group : kFusedGroups) {
      const tensor::Scheme& scheme = job.plan.of(layer, group);
      if (scheme.weight_bits == 16) continue;
      for (const std::string& module : FusedGroupModules(layer, group))
        layers[module] = tensor::SchemeName(scheme);
    }
  }
  if (job.plan.head) layers[kHeadModule] = tensor::SchemeName(*job.plan.head);
  core::Json recipe = job.recipe.ToJson();
  core::Json out = {{"octavo_version", core::kVersion},
                    {"base_digest", base_digest},
                    {"scheme", job.scheme_name()},
                    {"method", recipe["method"]},
                    {"seed", job.recipe.seed}};
  if (job.recipe.walks_blocks() || job.plan.has_static()) {
    out["recipe"] = std::move(recipe);
    out["isa"] = std::string(kernels::ActiveTable().isa);
  }
  if (!calibration_digest.empty()) {
    out["calibration_digest"] = calibration_digest;
    if (job.options.most_samples > 0) out["calibration_samples"] = job.options.most_samples;
  }
  if (!job.options.choice.is_null()) out["method_choice"] = job.options.choice;
  out["layers"] = std::move(layers);
  return out;
}

// Copies the tensors of a finished block's file.
core::Status CopyBlock(const format::SafetensorsFile& file, format::SafetensorsWriter& writer) {
  for (const auto& [name, view] : file.tensors()) OCTAVO_RETURN_IF_ERROR(writer.Append(view.bytes));
  file.file().DropPages(file.file().bytes());
  return {};
}

core::Result<WrittenWeights> WriteFromBlocks(const Job& job, const ModelEnds& ends,
                                             const BlockStore& store, const std::string& folder) {
  std::vector<TensorGroup> groups = {ends.PlanFront()};
  for (int64_t layer = 0; layer < job.config.layers; ++layer) {
    OCTAVO_TRY(const auto file, format::SafetensorsFile::Open(store.BlockPath(layer)));
    TensorGroup group;
    for (const auto& [name, view] : file.tensors()) group.push_back({name, view.dtype, view.shape});
    groups.push_back(std::move(group));
  }
  const std::vector<TensorGroup> back = ends.PlanBack();
  groups.insert(groups.end(), back.begin(), back.end());
  ShardedWriter writer(folder, std::move(groups), job.options.max_shard_bytes);
  job.progress.Begin("write", job.config.layers, "blocks");
  OCTAVO_TRY(format::SafetensorsWriter * front, writer.NextGroup());
  OCTAVO_RETURN_IF_ERROR(ends.WriteFront(*front, job.cancel));
  for (int64_t layer = 0; layer < job.config.layers; ++layer) {
    OCTAVO_RETURN_IF_ERROR(job.cancel.Check());
    OCTAVO_TRY(const auto file, format::SafetensorsFile::Open(store.BlockPath(layer)));
    OCTAVO_TRY(format::SafetensorsWriter * out, writer.NextGroup());
    OCTAVO_RETURN_IF_ERROR(CopyBlock(file, *out));
    job.progress.Advance(1);
  }
  for (size_t i = 0; i < back.size(); ++i) {
    OCTAVO_TRY(format::SafetensorsWriter * out, writer.NextGroup());
    OCTAVO_RETURN_IF_ERROR(ends.WriteBack(i, *out, job.cancel));
  }
  OCTAVO_RETURN_IF_ERROR(writer.Finish());
  job.progress.End();
  return WrittenWeights{writer.total_bytes(), writer.hashes(), {}};
}

core::Result<QuantizeSummary> WriteFolder(const Job& job, const core::Json& config,
                                          core::Json details, const std::string& model_dir,
                                          const WrittenWeights& weights,
                                          core::AtomicDirectory& out) {
  OCTAVO_RETURN_IF_ERROR(
      core::WriteFileAtomic(core::JoinPath(out.staging(), "config.json"), core::DumpJson(config)));
  for (const std::string& name : format::CompanionFiles(model_dir)) {
    OCTAVO_RETURN_IF_ERROR(
        core::CopyFileAtomic(core::JoinPath(model_dir, name), core::JoinPath(out.staging(), name)));
  }
  QuantizeSummary summary;
  summary.layers = static_cast<int64_t>(details["layers"].size());
  OCTAVO_TRY(const format::Manifest manifest,
             format::WriteManifest(out.staging(), "artifact", std::move(details), weights.hashes));
  OCTAVO_RETURN_IF_ERROR(out.Commit());
  summary.digest = format::ContentDigest(manifest);
  summary.scheme = job.scheme_name();
  summary.base_weights_bytes = job.source.weights_bytes();
  summary.weights_bytes = static_cast<int64_t>(weights.bytes);
  return summary;
}

core::Result<QuantizeSummary> QuantizePlain(const Job& job, const std::string& model_dir,
                                            const std::string& out_dir) {
  OCTAVO_TRY(core::AtomicDirectory out, format::CreateOutputFolder(out_dir));
  OCTAVO_TRY(const WrittenWeights weights,
             WritePlainRounded(job.source, job.config, job.plan, out.staging(),
                               job.options.max_shard_bytes, job.pool, job.progress, job.cancel));
  OCTAVO_TRY(const std::string base_digest, format::FolderDigest(model_dir, weights.of_source));
  const core::Json config =
      PlannedConfig(job.source.config(), job.plan, job.config.layers, job.plan.head.has_value());
  return WriteFolder(job, config, Details(job, base_digest, ""), model_dir, weights, out);
}

core::Result<QuantizeSummary> QuantizeByBlocks(const Job& job, const std::string& model_dir,
                                               const std::string& out_dir) {
  OCTAVO_RETURN_IF_ERROR(CheckFolds(job.config, job.recipe.rotate != RotateMode::kNone,
                                    job.recipe.smoothing != Smoothing::kNone));
  Calibration calibration;
  if (job.needs_calibration()) {
    OCTAVO_TRY(calibration, LoadCalibration(job.options.calibration, job.config));
    const auto most = static_cast<size_t>(job.options.most_samples);
    if (most > 0 && most < calibration.samples.size()) calibration.samples.resize(most);
  }
  std::optional<Rotation> rotation;
  if (job.recipe.rotate != RotateMode::kNone)
    rotation = MakeRotation(job.config, job.recipe.rotate, job.recipe.seed);
  const Rotation* rotates = rotation ? &*rotation : nullptr;
  OCTAVO_TRY(const ModelEnds ends,
             ModelEnds::Open(job.source, job.config, job.plan, rotates, job.pool));
  OCTAVO_TRY(const std::string base_digest, format::FolderDigest(model_dir));
  core::Json details = Details(job, base_digest, calibration.digest);
  // Claimed before the long work, so that a folder that may not be replaced is told at once.
  OCTAVO_TRY(core::AtomicDirectory out, format::CreateOutputFolder(out_dir));
  OCTAVO_TRY(BlockStore store, BlockStore::Open(out_dir, details));
  const Forecast forecast = ForecastBlocks(job.config, job.plan, job.recipe, calibration.tokens(),
                                           job.options.max_states_bytes, job.pool.size());
  job.progress.Note(Describe(forecast));
  OCTAVO_RETURN_IF_ERROR(CheckForecast(forecast, store.folder()));
  OCTAVO_RETURN_IF_ERROR(
      WalkBlocks({job.source, job.config, job.plan, job.recipe, rotates, ends, calibration.samples,
                  job.options.max_states_bytes, job.needs_calibration()},
                 store, job.pool, job.progress, job.cancel));
  OCTAVO_TRY(const WrittenWeights weights, WriteFromBlocks(job, ends, store, out.staging()));
  std::vector<core::Json> reports;
  for (int64_t layer = 0; layer < job.config.layers; ++layer)
    reports.push_back(store.Report(layer));
  details["blocks"] = reports;
  core::Json config =
      PlannedConfig(job.source.config(), job.plan, job.config.layers, ends.untied());
  if (rotation && rotation->inner) {
    config["quantization_config"] = format::WithOnlineRotation(
        config["quantization_config"],
        {job.config.intermediate_size, InnerRotationSeed(job.recipe.seed)});
  }
  OCTAVO_TRY(QuantizeSummary summary,
             WriteFolder(job, config, std::move(details), model_dir, weights, out));
  summary.notes = StaticNotes(reports);
  OCTAVO_RETURN_IF_ERROR(store.Remove());
  return summary;
}

}  // namespace

core::Status CheckTokens(const Calibration& calibration, const model::ModelConfig& config) {
  for (const std::vector<int32_t>& sample : calibration.samples) {
    for (const int32_t id : sample) {
      if (id >= 0 && id < config.vocab_size) continue;
      return core::Invalid(
          fmt::format("token id {} is outside the vocabulary of {}: it was made for another model",
                      id, config.vocab_size));
    }
    if (static_cast<int64_t>(sample.size()) > config.context) {
      return core::Invalid(fmt::format("a sample of {} tokens is longer than the model's {}",
                                       sample.size(), config.context));
    }
  }
  return {};
}

core::Result<QuantizeSummary> Quantize(const std::string& model_dir, const std::string& out_dir,
                                       const QuantizeOptions& options, core::Progress& progress,
                                       const core::CancelToken& cancel) {
  OCTAVO_TRY(const Recipe recipe, ParseRecipe(options.recipe));
  OCTAVO_TRY(const format::ModelFolder source, format::ModelFolder::Open(model_dir));
  const auto in_source = [&](auto result) { return std::move(result).Context(model_dir); };
  OCTAVO_RETURN_IF_ERROR(in_source(RefuseQuantized(source.config())));
  OCTAVO_TRY(const model::ModelConfig config,
             in_source(model::LoadModelConfig(source.config(), model_dir)));
  core::ThreadPool pool(options.threads);
  OCTAVO_TRY(LayerPlan plan, PlanFor(options, out_dir, source, config, pool, progress, cancel));
  OCTAVO_RETURN_IF_ERROR(ApplyRules(options.keep, config.layers, plan));
  if (!plan.quantizes())
    return core::Usage("scheme 16 with a head of 16 bits quantizes nothing; try w8a16");
  OCTAVO_RETURN_IF_ERROR(in_source(CheckGroupSizes(source, config, plan)));
  const Job job{source, config, plan, recipe, options, pool, progress, cancel};
  OCTAVO_TRY(QuantizeSummary summary, recipe.walks_blocks() || plan.has_static()
                                          ? QuantizeByBlocks(job, model_dir, out_dir)
                                          : QuantizePlain(job, model_dir, out_dir));
  OCTAVO_RETURN_IF_ERROR(core::RemoveAll(SensitivityJournal::PathFor(out_dir)));
  return summary;
}

}  // namespace octavo::compress
