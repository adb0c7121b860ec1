// octavo calibrate: the samples that a model is observed on, whether they match the traffic, and
// what was observed.
#include "compress/calibrate.h"

#include <charconv>

#include <fmt/format.h>

#include "cli/calibration_table.h"
#include "cli/command.h"
#include "cli/print.h"
#include "core/bytes.h"
#include "core/file.h"

namespace octavo::cli {
namespace {

// Bad prompts that are named one by one.
constexpr size_t kNamed = 20;

struct Arguments {
  std::string model;
  std::vector<std::string> prompts;
  std::optional<std::string> text;
  int64_t skip_tokens = 0;
  std::string out;
  int64_t samples = 256;
  int64_t min_samples = 32;
  int64_t context = 0;
  std::string bad_prompts = "skip";
  int64_t seed = 0;
  std::string shard = "1/1";
  std::vector<std::string> merge;
  std::vector<std::string> traffic;
  int64_t traffic_samples = 512;
  double false_alarms = 0.01;
  bool strict = false;
  bool no_model = false;
  int64_t threads = 0;
  bool json = false;
};

void Declare(Options& options, Arguments& a) {
  options.OptionalPositional("MODEL", "--model", a.model, "the 16-bit model folder");
  options.Values("--prompts", "F.jsonl", a.prompts,
                 "a prompt in each line: chat messages, a plain prompt, or a line of an OpenAI "
                 "request log; may be repeated");
  options.Value("--text", "F.txt", a.text,
                "instead of prompts: a text, cut into windows of --context tokens");
  options.Value("--skip-tokens", "N", a.skip_tokens,
                "of --text, from its beginning: what an evaluation will use");
  options.Required("--out", "DIR", a.out, "the folder to make");
  options.Value("--samples", "N", a.samples, "prompts or windows to draw");
  options.Value("--min-samples", "N", a.min_samples, "fewer usable ones are an error");
  options.Value("--context", "N", a.context,
                "longest prompt in tokens; 0: 2048, or the model's context if that is shorter");
  options.Choice("--bad-prompts", {"skip", "refuse"}, a.bad_prompts,
                 "what to do about malformed, empty and too long ones");
  options.Value("--seed", "N", a.seed, "of the draw");
  options.Value("--shard", "I/N", a.shard,
                "keep the I-th of N equal parts of the samples, from 1/N to N/N, for --merge");
  options.Values("--merge", "DIR", a.merge,
                 "instead of MODEL: make one calibration of these shards; may be repeated");
  options.Values("--traffic", "G.jsonl", a.traffic,
                 "production prompts to compare the calibration with; may be repeated");
  options.Value("--traffic-samples", "N", a.traffic_samples, "drawn from them at most");
  options.Value("--false-alarms", "RATE", a.false_alarms,
                "chance of a warning when nothing differs");
  options.Flag("--strict", a.strict, "make nothing when the calibration differs from the traffic");
  options.Flag("--no-model", a.no_model,
               "do not run the model: no ranges, and traffic is compared by its text only");
  options.Value("--threads", "N", a.threads, "0: one for each core");
  options.Flag("--json", a.json, "print calibration.json");
}

core::Status ParseShard(const std::string& text, compress::CalibrateOptions& options) {
  const char* const end = text.data() + text.size();
  const auto first = std::from_chars(text.data(), end, options.shard);
  if (first.ec == std::errc() && first.ptr != end && *first.ptr == '/') {
    const auto second = std::from_chars(first.ptr + 1, end, options.shards);
    if (second.ec == std::errc() && second.ptr == end) return {};
  }
  return core::Usage(fmt::format("--shard is '{}', expected I/N, e.g. 2/8", core::Printable(text)));
}

core::Result<compress::CalibrateOptions> ToOptions(const Arguments& a) {
  compress::CalibrateOptions options;
  options.prompts = a.prompts;
  options.text = a.text;
  options.skip_tokens = a.skip_tokens;
  options.samples = a.samples;
  options.min_samples = a.min_samples;
  if (a.context != 0) options.context = a.context;
  options.refuse_bad_prompts = a.bad_prompts == "refuse";
  options.seed = static_cast<uint64_t>(a.seed);
  options.states.spill_folder = core::ParentFolder(a.out);
  OCTAVO_RETURN_IF_ERROR(ParseShard(a.shard, options));
  options.threads = static_cast<int>(std::min<int64_t>(a.threads, 1024));
  return options;
}

void NameBad(const compress::CalibrateResult& result) {
  for (size_t i = 0; i < std::min(kNamed, result.bad.size()); ++i) {
    PrintNote("left out: " + compress::DescribeBadPrompt(result.files, result.bad[i]));
  }
  if (result.bad.size() > kNamed) {
    PrintNote(fmt::format("left out: {} more", result.bad.size() - kNamed));
  }
}

// False where the calibration must not be made.
core::Result<bool> Check(const Arguments& a, const compress::CalibrateOptions& options,
                         compress::CalibrateResult& result, Context& context) {
  if (a.traffic.empty()) {
    if (a.strict) return core::Usage("--strict needs --traffic");
    return true;
  }
  OCTAVO_TRY(
      const compress::TrafficReport report,
      compress::CheckTraffic(a.model, options, {a.traffic, a.traffic_samples, a.false_alarms},
                             !a.no_model, result, context.progress, context.cancel));
  context.progress.Clear();
  PrintNote(TrafficText(report));
  return !report.differs() || !a.strict;
}

// Nothing where the calibration differs from the traffic and is refused.
core::Result<std::optional<compress::Calibration>> Make(const Arguments& a, Context& context) {
  if (!a.merge.empty()) {
    if (!a.model.empty() || !a.prompts.empty() || a.text || !a.traffic.empty()) {
      return core::Usage(
          "--merge reads shards only; leave MODEL, --prompts, --text and --traffic out");
    }
    OCTAVO_TRY(compress::Calibration merged, compress::MergeCalibrations(a.merge));
    return std::optional(std::move(merged));
  }
  if (a.model.empty()) return core::Usage("MODEL is missing: a model folder, or --merge");
  OCTAVO_TRY(const compress::CalibrateOptions options, ToOptions(a));
  OCTAVO_TRY(compress::CalibrateResult result,
             compress::ChooseSamples(a.model, options, context.progress, context.cancel));
  context.progress.Clear();
  NameBad(result);
  OCTAVO_TRY(const bool go_on, Check(a, options, result, context));
  if (!go_on) return std::optional<compress::Calibration>();
  if (!a.no_model) {
    OCTAVO_RETURN_IF_ERROR(
        compress::ObserveRanges(a.model, options, result, context.progress, context.cancel));
    context.progress.Clear();
  }
  return std::optional(std::move(result.calibration));
}

core::Result<Exit> Run(const Arguments& a, Context& context) {
  OCTAVO_TRY(std::optional<compress::Calibration> calibration, Make(a, context));
  if (!calibration) {
    PrintNote("nothing was made (--strict): add such prompts to the calibration");
    return Exit::kGateFailed;
  }
  OCTAVO_RETURN_IF_ERROR(compress::WriteCalibration(a.out, *calibration));
  if (a.json) {
    PrintJson(calibration->summary);
  } else {
    Print(CalibrationTable(*calibration));
  }
  return Exit::kDone;
}

}  // namespace

Command CalibrateCommand() {
  return MakeCommand<Arguments>(
      "calibrate", "Chooses the prompts that a model is calibrated on, and observes it",
      "octavo calibrate smollm2 --prompts traffic.jsonl --out calibration", Declare, Run);
}

}  // namespace octavo::cli
