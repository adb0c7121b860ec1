#include "compress/calibrate.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include <fmt/format.h>

#include "compress/observe.h"
#include "core/bytes.h"
#include "core/file.h"
#include "core/hash.h"
#include "core/json.h"
#include "core/version.h"
#include "format/manifest.h"
#include "model/config.h"

namespace octavo::compress {
namespace {

using core::Invalid;
using core::Json;
using core::Result;
using core::Status;

constexpr int64_t kDefaultContext = 2048;
constexpr size_t kNamedBadPrompts = 5;

struct Inputs {
  model::ModelConfig config;
  text::Tokenizer tokenizer;
  std::optional<text::ChatTemplate> chat_template;
};

Result<Inputs> LoadInputs(const std::string& model_dir) {
  OCTAVO_TRY(const Json json, core::ReadJsonFile(core::JoinPath(model_dir, "config.json")));
  OCTAVO_TRY(model::ModelConfig config, model::ParseModelConfig(json).Context(model_dir));
  OCTAVO_TRY(text::Tokenizer tokenizer, text::Tokenizer::Load(model_dir, config.vocab_size));
  OCTAVO_TRY(auto chat_template, text::ChatTemplate::Load(model_dir));
  return Inputs{std::move(config), std::move(tokenizer), std::move(chat_template)};
}

Status CheckOptions(const CalibrateOptions& o) {
  if (o.prompts.empty() == !o.text) {
    return core::Usage("give either --prompts with JSONL files or --text with a text file");
  }
  if (o.samples < 1 || o.min_samples < 1 || o.skip_tokens < 0) {
    return core::Usage("--samples and --min-samples must be 1 or more, --skip-tokens 0 or more");
  }
  if (o.skip_tokens > 0 && !o.text) return core::Usage("--skip-tokens is for --text only");
  if (o.shard < 1 || o.shard > o.shards) {
    return core::Usage(fmt::format("--shard is {}/{}, expected 1/N to N/N", o.shard, o.shards));
  }
  return {};
}

Result<int64_t> Context(const CalibrateOptions& options, const model::ModelConfig& config) {
  const int64_t context = options.context.value_or(std::min(kDefaultContext, config.context));
  if (context < 1 || context > config.context) {
    return core::Usage(
        fmt::format("--context is {}, the model has 1 to {}", context, config.context));
  }
  return context;
}

Status RefuseBad(const CalibrateResult& result) {
  if (result.bad.empty()) return {};
  std::string list;
  for (size_t i = 0; i < std::min(kNamedBadPrompts, result.bad.size()); ++i)
    list += "; " + DescribeBadPrompt(result.files, result.bad[i]);
  return Invalid(fmt::format("{} bad prompts{}{}", result.bad.size(), list,
                             result.bad.size() > kNamedBadPrompts ? "; ..." : ""));
}

Status CheckEnough(int64_t samples, const CalibrateOptions& options,
                   const CalibrateResult& result) {
  if (samples >= options.min_samples) return {};
  const std::string bad = result.bad.empty()
                              ? ""
                              : fmt::format(" ({} were bad, the first is {})", result.bad.size(),
                                            DescribeBadPrompt(result.files, result.bad[0]));
  return Invalid(
      fmt::format("{} usable samples, expected {} or more{}: give more, or lower --min-samples",
                  samples, options.min_samples, bad));
}

Json CountBad(const std::vector<BadPrompt>& bad) {
  const auto count = [&](BadPromptKind kind) {
    return std::count_if(bad.begin(), bad.end(), [&](const auto& b) { return b.kind == kind; });
  };
  return {{"malformed", count(BadPromptKind::kMalformed)},
          {"empty", count(BadPromptKind::kEmpty)},
          {"too_long", count(BadPromptKind::kTooLong)}};
}

Result<Json> DescribeSource(const std::string& file) {
  OCTAVO_TRY(std::string sha256, core::Sha256File(file));
  return Json{{"file", core::BaseName(file)}, {"sha256", std::move(sha256)}};
}

using Samples = std::vector<std::vector<text::TokenId>>;

Result<Samples> FromPrompts(const CalibrateOptions& options, int64_t context, const Inputs& inputs,
                            core::ThreadPool& pool, core::Progress& progress,
                            const core::CancelToken& cancel, CalibrateResult& result) {
  const text::ChatTemplate* const chat_template =
      inputs.chat_template ? &*inputs.chat_template : nullptr;
  OCTAVO_TRY(PromptSample sample,
             SamplePrompts(options.prompts, {options.samples, context, options.seed},
                           inputs.tokenizer, chat_template, pool, progress, cancel));
  result.files = options.prompts;
  result.bad = std::move(sample.bad);
  Json sources = Json::array();
  for (size_t i = 0; i < options.prompts.size(); ++i) {
    OCTAVO_TRY(Json source, DescribeSource(options.prompts[i]));
    source["prompts"] = sample.lines[i];
    sources.push_back(std::move(source));
  }
  result.calibration.summary["sources"] = std::move(sources);
  result.calibration.summary["bad_prompts"] = CountBad(result.bad);
  Samples out;
  for (const SampledPrompt& prompt : sample.prompts) out.push_back(prompt.ids);
  result.drawn = std::move(sample.prompts);
  return out;
}

Result<Samples> FromText(const CalibrateOptions& options, int64_t context, const Inputs& inputs,
                         CalibrateResult& result) {
  const std::string& file = *options.text;
  OCTAVO_TRY(const std::string text, core::ReadFile(file));
  OCTAVO_TRY(const auto ids, inputs.tokenizer.Encode(text, false).Context(file));
  const auto total = static_cast<int64_t>(ids.size());
  std::vector<int64_t> windows;
  for (int64_t begin = options.skip_tokens; begin <= total - context; begin += context)
    windows.push_back(begin);
  Shuffle(windows, options.seed);
  windows.resize(std::min(windows.size(), static_cast<size_t>(options.samples)));
  OCTAVO_TRY(Json source, DescribeSource(file));
  source["tokens"] = total;
  source["skipped_tokens"] = options.skip_tokens;
  result.files = {file};
  result.calibration.summary["sources"] = Json::array({std::move(source)});
  result.calibration.summary["bad_prompts"] = CountBad({});
  Samples out;
  for (const int64_t begin : windows) {
    out.emplace_back(ids.begin() + begin, ids.begin() + begin + context);
    SampledPrompt window;
    OCTAVO_TRY(window.written, inputs.tokenizer.Decode(out.back(), false));
    window.ids = out.back();
    result.drawn.push_back(std::move(window));
  }
  return out;
}

ObserveOptions ObserveAs(const CalibrateOptions& options, bool samples) {
  ObserveOptions out;
  out.samples = samples;
  out.states = options.states;
  return out;
}

void KeepShard(const CalibrateOptions& options, Samples samples, Calibration& calibration) {
  for (size_t i = 0; i < samples.size(); ++i) {
    const auto place = static_cast<int64_t>(i);
    if (place % options.shards != options.shard - 1) continue;
    calibration.places.push_back(place);
    calibration.samples.push_back(std::move(samples[i]));
  }
  if (options.shards == 1) return;
  calibration.summary["shard"] = {{"index", options.shard}, {"count", options.shards}};
}

}  // namespace

Status ObserveRanges(const std::string& model_dir, const CalibrateOptions& options,
                     CalibrateResult& result, core::Progress& progress,
                     const core::CancelToken& cancel) {
  core::ThreadPool pool(options.threads);
  OCTAVO_TRY(const std::string digest, format::FolderDigest(model_dir));
  result.calibration.summary["model_digest"] = digest;
  if (!result.calibration.ranges.empty()) return {};  // seen while the traffic was checked
  OCTAVO_TRY(Observation observation,
             ObserveModel(model_dir, result.calibration.samples, ObserveAs(options, false), pool,
                          progress, cancel));
  result.calibration.ranges = std::move(observation.ranges);
  return {};
}

Result<TrafficReport> CheckTraffic(const std::string& model_dir, const CalibrateOptions& options,
                                   const TrafficOptions& traffic, bool run_model,
                                   CalibrateResult& result, core::Progress& progress,
                                   const core::CancelToken& cancel) {
  if (traffic.samples < 1 || traffic.false_alarms < 1e-4 || traffic.false_alarms > 0.5) {
    return core::Usage("--traffic-samples must be 1 or more, --false-alarms from 0.0001 to 0.5");
  }
  OCTAVO_TRY(const Inputs inputs, LoadInputs(model_dir));
  core::ThreadPool pool(options.threads);
  // Another seed than the calibration's, so that one file on both sides is not the same draw.
  OCTAVO_TRY(const PromptSample sample,
             SamplePrompts(traffic.files, {traffic.samples, 0, options.seed + 1}, inputs.tokenizer,
                           inputs.chat_template ? &*inputs.chat_template : nullptr, pool, progress,
                           cancel));
  OCTAVO_RETURN_IF_ERROR(CheckEnough(static_cast<int64_t>(sample.prompts.size()), options,
                                     {{}, traffic.files, sample.bad, {}})
                             .Context("traffic"));
  std::vector<PromptActivations> activations[2];
  std::vector<InputRanges> ranges[2];
  const std::vector<SampledPrompt>* const sides[] = {&result.drawn, &sample.prompts};
  for (int side = 0; run_model && side < 2; ++side) {
    OCTAVO_TRY(const int64_t context, core::GetInt(result.calibration.summary, "context"));
    Samples samples;
    for (const SampledPrompt& prompt : *sides[side]) {
      samples.push_back(prompt.ids);
      samples.back().resize(std::min(samples.back().size(), static_cast<size_t>(context)));
    }
    OCTAVO_TRY(Observation observation,
               ObserveModel(model_dir, samples, ObserveAs(options, true), pool, progress, cancel));
    activations[side] = std::move(observation.samples);
    ranges[side] = std::move(observation.ranges);
  }
  if (options.shards == 1) result.calibration.ranges = ranges[0];  // the draw is the samples
  TrafficReport report = CompareWithTraffic(
      {result.drawn, activations[0], std::move(ranges[0])},
      {sample.prompts, activations[1], std::move(ranges[1])},
      {traffic.false_alarms, options.seed, options.text.has_value()}, inputs.tokenizer, pool);
  Json sources = Json::array();
  for (const std::string& file : traffic.files) {
    OCTAVO_TRY(Json source, DescribeSource(file));
    sources.push_back(std::move(source));
  }
  Json json = report.ToJson();
  json["sources"] = std::move(sources);
  result.calibration.summary["traffic"] = std::move(json);
  return report;
}

std::string DescribeBadPrompt(const std::vector<std::string>& files, const BadPrompt& bad) {
  return fmt::format("{}: line {}: {}", files[static_cast<size_t>(bad.file)], bad.line, bad.reason);
}

Result<CalibrateResult> ChooseSamples(const std::string& model_dir, const CalibrateOptions& options,
                                      core::Progress& progress, const core::CancelToken& cancel) {
  OCTAVO_RETURN_IF_ERROR(CheckOptions(options));
  OCTAVO_TRY(const Inputs inputs, LoadInputs(model_dir));
  OCTAVO_TRY(const int64_t context, Context(options, inputs.config));
  OCTAVO_TRY(const std::string tokenizer_sha256,
             core::Sha256File(core::JoinPath(model_dir, "tokenizer.json")));
  core::ThreadPool pool(options.threads);
  CalibrateResult result;
  result.calibration.summary = {{"schema", 1},
                                {"octavo_version", core::kVersion},
                                {"tokenizer_sha256", tokenizer_sha256},
                                {"vocab_size", inputs.config.vocab_size},
                                {"context", context},
                                {"seed", options.seed},
                                {"wanted_samples", options.samples}};
  OCTAVO_TRY(Samples samples,
             options.text ? FromText(options, context, inputs, result)
                          : FromPrompts(options, context, inputs, pool, progress, cancel, result));
  if (options.refuse_bad_prompts) OCTAVO_RETURN_IF_ERROR(RefuseBad(result));
  const auto usable = static_cast<int64_t>(samples.size());
  OCTAVO_RETURN_IF_ERROR(CheckEnough(usable, options, result));
  if (usable < options.shards) {
    return Invalid(
        fmt::format("{} samples for {} shards: take fewer shards", usable, options.shards));
  }
  KeepShard(options, std::move(samples), result.calibration);
  return result;
}

}  // namespace octavo::compress
