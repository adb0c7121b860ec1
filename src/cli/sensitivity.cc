// octavo sensitivity: what each group of layers loses under each scheme.
#include "compress/sensitivity.h"

#include <algorithm>

#include <fmt/format.h>

#include "cli/command.h"
#include "cli/print.h"
#include "cli/table.h"
#include "compress/calibration.h"
#include "compress/mixed_plan.h"
#include "compress/quantize.h"
#include "compress/sensitivity_document.h"
#include "core/file.h"
#include "core/thread_pool.h"

namespace octavo::cli {
namespace {

struct Arguments {
  std::string model;
  std::string calibration;
  std::string json;
  int64_t samples = 8;
  int64_t tokens = 256;
  int64_t threads = 0;
};

void Declare(Options& options, Arguments& a) {
  options.Positional("MODEL", a.model, "the 16-bit model folder");
  options.Required("--calibration", "DIR", a.calibration, "what `octavo calibrate` made");
  options.Value("--json", "OUT", a.json, "write the document that --scheme mixed:BITS can read");
  options.Value("--samples", "N", a.samples, "of the calibration, to measure the divergence on");
  options.Value("--tokens", "N", a.tokens, "of each sample, at most");
  options.Value("--threads", "N", a.threads, "0: one for each core");
}

std::string Report(std::vector<compress::GroupSensitivity> groups) {
  const auto loss = [](const compress::GroupSensitivity& group) {
    return group.losses.empty() ? 0.0 : group.losses.front().kld;
  };
  std::stable_sort(groups.begin(), groups.end(),
                   [&](const auto& a, const auto& b) { return loss(a) > loss(b); });
  Table table({"block", "group", "weights", "scheme", "KLD", "of the output"});
  constexpr size_t kShown = 20;
  for (size_t i = 0; i < std::min(groups.size(), kShown); ++i) {
    const compress::GroupSensitivity& group = groups[i];
    if (group.losses.empty()) continue;
    table.Add({std::to_string(group.layer), std::string(FusedGroupName(group.group)),
               std::to_string(group.weights), tensor::SchemeName(group.losses[0].scheme),
               fmt::format("{:.5f}", group.losses[0].kld),
               fmt::format("{:.3f}%", 100 * group.losses[0].output_error)});
  }
  std::string text = table.Render();
  if (groups.size() > kShown)
    text += fmt::format("the {} most sensitive of {} groups\n", kShown, groups.size());
  return text;
}

core::Result<Exit> Run(const Arguments& a, Context& context) {
  if (a.samples < 1 || a.tokens < 2)
    return core::Usage("--samples and --tokens: at least 1 sample of 2 tokens");
  OCTAVO_TRY(const compress::Calibration calibration, compress::ReadCalibration(a.calibration));
  OCTAVO_TRY(const format::ModelFolder source, format::ModelFolder::Open(a.model));
  OCTAVO_TRY(const model::ModelConfig config,
             model::LoadModelConfig(source.config(), a.model).Context(a.model));
  OCTAVO_RETURN_IF_ERROR(compress::CheckTokens(calibration, config).Context(a.calibration));
  core::ThreadPool pool(static_cast<int>(std::clamp<int64_t>(a.threads, 0, 1024)));
  const compress::SensitivityOptions options = {compress::MixedMenu(), a.samples, a.tokens};
  compress::SensitivityJournal journal;
  if (!a.json.empty()) {
    OCTAVO_TRY(journal, compress::SensitivityJournal::Open(a.json, source, config.layers,
                                                           calibration.digest, options));
  }
  OCTAVO_TRY(const std::vector<compress::GroupSensitivity> groups,
             compress::MeasureSensitivity(source, config, calibration.samples, options, journal,
                                          pool, context.progress, context.cancel));
  if (!a.json.empty()) {
    OCTAVO_RETURN_IF_ERROR(
        core::WriteFileAtomic(a.json, core::DumpJson(compress::SensitivityJson(groups))));
    OCTAVO_RETURN_IF_ERROR(core::RemoveAll(compress::SensitivityJournal::PathFor(a.json)));
  }
  Print(Report(groups));
  return Exit::kDone;
}

}  // namespace

Command SensitivityCommand() {
  return MakeCommand<Arguments>(
      "sensitivity", "Measures what each group of layers loses under each scheme",
      "octavo sensitivity smollm2 --calibration smollm2-calibration --json sensitivity.json",
      Declare, Run);
}

}  // namespace octavo::cli
