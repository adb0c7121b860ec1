#include "workflow/method_choice.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>

#include <fmt/format.h>

#include "compress/calibration.h"
#include "compress/mixed_plan.h"
#include "core/check.h"
#include "core/file.h"
#include "core/staging.h"
#include "core/thread_pool.h"
#include "engine/streamed_model.h"
#include "eval/streamed_scores.h"

namespace octavo::workflow {
namespace {

using compress::RecipeOptions;

constexpr int64_t kFewestSamples = 8;
constexpr int64_t kMostFitted = 32;
constexpr int64_t kMostHeldOut = 16;
constexpr double kWorthwhile = 0.98;  // of the simpler recipe's divergence

struct Form {
  const char* method;
  const char* smooth;
  const char* rotate;
  const char* clip;
};

// Codes of 8 bits with float inputs lose little: what is left is the rounding itself.
constexpr Form kWeightOnly8[] = {
    {"rtn", "none", "none", ""}, {"rtn", "none", "none", "mse"}, {"gptq", "none", "none", ""}};
// int8 inputs lose most where a few channels are large.
constexpr Form kInt8Inputs[] = {{"rtn", "none", "none", ""},
                                {"gptq", "auto", "none", ""},
                                {"rtn", "none", "fold", ""},
                                {"gptq", "none", "fold", ""},
                                {"gptq", "auto", "fold", ""}};
constexpr Form kWeightOnly4[] = {{"rtn", "none", "none", "mse"},
                                 {"awq", "none", "none", ""},
                                 {"gptq", "none", "none", ""},
                                 {"gptq", "awq", "none", ""}};

core::Result<std::span<const Form>> FormsOf(const std::string& scheme_name) {
  OCTAVO_TRY(const std::optional<double> mixed, compress::ParseMixed(scheme_name));
  if (mixed) return std::span<const Form>(kWeightOnly4);
  OCTAVO_TRY(const tensor::Scheme scheme, tensor::ParseScheme(scheme_name));
  if (scheme.activations != tensor::Activations::kFloat) return std::span<const Form>(kInt8Inputs);
  return scheme.weight_bits == 4 ? std::span<const Form>(kWeightOnly4)
                                 : std::span<const Form>(kWeightOnly8);
}

// Mean KL divergence of `candidate` from `model_dir` over the samples.
core::Result<double> Divergence(const std::string& model_dir, const std::string& candidate_dir,
                                std::span<const std::vector<int32_t>> samples, int threads,
                                core::Progress& progress, const core::CancelToken& cancel) {
  core::ThreadPool pool(threads);
  const auto open = [&pool](const std::string& folder) {
    return engine::StreamedModel::Open(folder, model::Compute::kF32, model::KvType::kF32, pool);
  };
  OCTAVO_TRY(auto baseline, open(model_dir));
  OCTAVO_TRY(auto candidate, open(candidate_dir));
  // Each sample is a text of one window.
  std::vector<eval::TextSpec> specs;
  for (size_t i = 0; i < samples.size(); ++i) {
    specs.push_back({.name = fmt::format("sample {}", i),
                     .file = {},
                     .context = static_cast<int64_t>(samples[i].size()),
                     .chunks = 1,
                     .score = eval::Score::kAll});
  }
  std::vector<eval::StreamedText> texts;
  for (size_t i = 0; i < samples.size(); ++i) texts.push_back({&specs[i], samples[i]});
  // Told as one step: a line for each sample would bury the figures.
  progress.Begin("compare with the 16-bit model", static_cast<int64_t>(samples.size()), "samples");
  OCTAVO_TRY(const std::vector<eval::TextScores> scores,
             eval::ScoreTextsStreamed(&baseline, candidate, texts, {}, pool, core::SilentProgress(),
                                      cancel));
  progress.Advance(static_cast<int64_t>(samples.size()));
  progress.End();
  OCTAVO_RETURN_IF_ERROR(cancel.Check());
  double sum = 0;
  int64_t tokens = 0;
  for (const eval::TextScores& score : scores) {
    OCTAVO_CHECK(score.complete);
    for (const double kld : score.klds) sum += kld;
    tokens += score.tokens;
  }
  return sum / static_cast<double>(tokens);
}

}  // namespace

core::Json MethodChoice::ToJson() const {
  core::Json list = core::Json::array();
  for (const MethodTrial& trial : trials)
    list.push_back({{"recipe", Describe(trial.recipe)}, {"kld", trial.kld}});
  return {{"chosen", Describe(recipe())}, {"trials", std::move(list)}};
}

std::string Describe(const RecipeOptions& recipe) {
  std::string out = recipe.method;
  if (recipe.smooth != "none") out += " --smooth " + recipe.smooth;
  if (recipe.rotate != "none") out += " --rotate " + recipe.rotate;
  if (!recipe.clip.empty()) out += " --clip " + recipe.clip;
  return out;
}

core::Result<std::vector<RecipeOptions>> MethodCandidates(
    const compress::QuantizeOptions& options) {
  OCTAVO_TRY(const std::span<const Form> forms, FormsOf(options.scheme));
  std::vector<RecipeOptions> out;
  for (const Form& form : forms) {
    RecipeOptions recipe = options.recipe;
    recipe.method = form.method;
    if (recipe.smooth == "none") recipe.smooth = form.smooth;
    if (recipe.rotate == "none") recipe.rotate = form.rotate;
    if (recipe.clip.empty()) recipe.clip = form.clip;
    // What the user asked for may make one of two.
    if (std::none_of(out.begin(), out.end(),
                     [&](const auto& other) { return Describe(other) == Describe(recipe); }))
      out.push_back(std::move(recipe));
  }
  return out;
}

core::Result<MethodChoice> ChooseMethod(const std::string& model_dir, const std::string& out_dir,
                                        compress::QuantizeOptions options, core::Progress& progress,
                                        const core::CancelToken& cancel) {
  OCTAVO_TRY(const std::vector<RecipeOptions> candidates, MethodCandidates(options));
  OCTAVO_TRY(const std::optional<double> mixed, compress::ParseMixed(options.scheme));
  if (mixed && options.sensitivity.empty()) {
    return core::Usage(
        "--method auto tries several recipes: measure the layers once, with `octavo sensitivity`, "
        "and give --sensitivity");
  }
  if (options.calibration.empty()) {
    return core::Usage(
        "--method auto measures on calibration data: give --calibration DIR, made by `octavo "
        "calibrate`");
  }
  OCTAVO_TRY(const compress::Calibration calibration,
             compress::ReadCalibration(options.calibration));
  std::vector<std::vector<int32_t>> samples = calibration.samples;
  std::erase_if(samples, [](const auto& sample) { return sample.size() < 2; });
  const auto count = static_cast<int64_t>(samples.size());
  if (count < kFewestSamples) {
    return core::Usage(fmt::format("--method auto needs {} samples; {} has {}", kFewestSamples,
                                   options.calibration, count));
  }
  const int64_t held_out = std::min(count / 4, kMostHeldOut);
  const auto judges = std::span(samples).last(static_cast<size_t>(held_out));
  options.most_samples = std::min(count - held_out, kMostFitted);

  const std::string folder = core::KeptBeside(out_dir, "trial");
  MethodChoice out;
  const auto try_all = [&]() -> core::Status {
    for (const RecipeOptions& recipe : candidates) {
      options.recipe = recipe;
      OCTAVO_TRY(const auto summary,
                 compress::Quantize(model_dir, folder, options, progress, cancel));
      OCTAVO_TRY(const double kld,
                 Divergence(model_dir, folder, judges, options.threads, progress, cancel));
      out.trials.push_back({recipe, kld});
      progress.Note(
          fmt::format("{}: divergence {:.5f} nats on {} samples that it was not made with",
                      Describe(recipe), kld, held_out));
      if (kld < kWorthwhile * out.trials[out.best].kld) out.best = out.trials.size() - 1;
    }
    return {};
  };
  const core::Status tried = try_all();
  const core::Status removed = core::RemoveAll(folder);
  OCTAVO_RETURN_IF_ERROR(tried);
  OCTAVO_RETURN_IF_ERROR(removed);
  progress.Note(fmt::format("{}: taken, it diverges least", Describe(out.recipe())));
  return out;
}

}  // namespace octavo::workflow
