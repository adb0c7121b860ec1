// octavo quantize: an INT8 artifact from a 16-bit model folder.
#include "compress/quantize.h"

#include <fmt/format.h>

#include "cli/command.h"
#include "cli/print.h"
#include "cli/verdict.h"
#include "core/bytes.h"
#include "core/clock.h"
#include "core/json.h"
#include "core/version.h"
#include "format/loader_notes.h"
#include "workflow/method_choice.h"
#include "workflow/until_gate.h"

namespace octavo::cli {
namespace {

struct Arguments {
  std::string model;
  std::string out;
  std::string scheme = "w8a16";
  int64_t head = 16;
  std::string calibration;
  std::string sensitivity;
  compress::RecipeOptions recipe;
  std::vector<std::string> keep;
  std::string until_gate;
  std::string suite;
  int64_t seed = 0;
  int64_t threads = 0;
  bool json = false;
};

void Declare(Options& options, Arguments& a) {
  options.Positional("MODEL", a.model, "a model folder with 16-bit weights");
  options.Value("--out", "DIR", a.out, "the folder to make; MODEL-SCHEME if not given");
  options.Value(
      "--scheme", "S", a.scheme,
      "w8a16: weight-only INT8, a scale per output channel; w8a8: int8 activations too, "
      "a scale per token; w8a8-static: a scale per layer, from the calibration; w8a16-gN, "
      "w4a16-gN, w4a8-gN: a scale for N inputs; mixed:BITS: 4 or 8 bits for each group "
      "of layers, where they cost least");
  options.Value("--head", "BITS", a.head, "of lm_head: 16, as it is stored, or 8");
  options.Value("--calibration", "DIR", a.calibration,
                "what `octavo calibrate` made; needed by gptq, awq, --smooth and w8a8-static");
  options.Value("--sensitivity", "F.json", a.sensitivity,
                "for mixed:BITS, what `octavo sensitivity` wrote; measured if not given");
  options.Value("--method", "M", a.recipe.method,
                "rtn: round to nearest; gptq: rounding errors are made good by the inputs that "
                "follow; awq: factors that spare the weights of large activations; auto: tries "
                "what suits the scheme, and takes what measures best on the calibration");
  options.Value("--smooth", "A", a.recipe.smooth,
                "moves the size of large activations into the weights (SmoothQuant): none, an "
                "exponent from 0 to 1, auto (the best of each group), awq");
  options.Value("--rotate", "R", a.recipe.rotate,
                "Hadamard rotations that spread outliers: none; fold: into the weights, for any "
                "loader; online: one more before down_proj at run time, for octavo only");
  options.Value("--clip", "C", a.recipe.clip,
                "of weights: none, or mse (the scale of least squared error); gptq and awq: mse");
  options.Value("--damping", "D", a.recipe.damping, "of gptq, a share of the Hessian's diagonal");
  options.Value("--refine", "N", a.recipe.refine,
                "passes over what gptq chose, each code and scale in turn; -1: the default");
  options.Values("--keep", "REGEX=S", a.keep,
                 "gives the layers that the pattern finds another scheme, 16 for as they are");
  options.Value("--until-gate", "POLICY", a.until_gate,
                "evaluates on --suite, and gives the most sensitive layers more bits until the "
                "policy is kept");
  options.Value("--suite", "SUITE.toml", a.suite, "what --until-gate evaluates on");
  options.Value("--seed", "N", a.seed, "of the rotations");
  options.Value("--threads", "N", a.threads, "0: one for each core");
  options.Flag("--json", a.json, "print a JSON summary");
}

core::Result<Exit> Run(const Arguments& a, Context& context) {
  std::string out = a.out;
  if (out.empty()) {
    out = a.model;
    while (out.size() > 1 && out.back() == '/') out.pop_back();
    out += "-" + a.scheme;
  }
  compress::RecipeOptions recipe = a.recipe;
  recipe.seed = static_cast<uint64_t>(a.seed);
  const core::Stopwatch watch;
  compress::QuantizeOptions options{
      .scheme = a.scheme,
      .head_bits = static_cast<int>(std::clamp<int64_t>(a.head, 0, 64)),
      .keep = a.keep,
      .recipe = recipe,
      .calibration = a.calibration,
      .sensitivity = a.sensitivity,
      .threads = static_cast<int>(std::min<int64_t>(a.threads, 1024))};
  if (recipe.method == "auto") {
    OCTAVO_TRY(const workflow::MethodChoice choice,
               workflow::ChooseMethod(a.model, out, options, context.progress, context.cancel));
    options.recipe = choice.recipe();
    options.choice = choice.ToJson();
  }
  workflow::UntilGateResult result;
  if (a.until_gate.empty()) {
    OCTAVO_TRY(result.summary,
               compress::Quantize(a.model, out, options, context.progress, context.cancel));
  } else {
    if (a.suite.empty()) return core::Usage("--until-gate needs --suite SUITE.toml");
    OCTAVO_TRY(result, workflow::QuantizeUntilGate(a.model, out, {options, a.suite, a.until_gate},
                                                   context.progress, context.cancel));
  }
  const compress::QuantizeSummary& summary = result.summary;
  OCTAVO_TRY(const std::vector<std::string> loader_notes, format::ArtifactLoaderNotes(out));
  const double ratio = static_cast<double>(summary.weights_bytes) /
                       static_cast<double>(std::max<int64_t>(summary.base_weights_bytes, 1));
  if (a.json) {
    PrintJson({{"schema", 1},
               {"octavo_version", core::kVersion},
               {"out", out},
               {"digest", summary.digest},
               {"scheme", summary.scheme},
               {"layers", summary.layers},
               {"base_weights_bytes", summary.base_weights_bytes},
               {"weights_bytes", summary.weights_bytes},
               {"weights_ratio", ratio},
               {"method_choice", options.choice},
               {"gate", a.until_gate.empty()
                            ? core::Json()
                            : core::Json(std::string(eval::VerdictName(result.verdict)))},
               {"raised", result.raised},
               {"notes", summary.notes},
               {"loader_notes", loader_notes},
               {"seconds", watch.Seconds()}});
  } else {
    Print(fmt::format("{}: {}, {} linear layers, {} of {} ({:.1f}%), digest {:.12}\n", out,
                      summary.scheme, summary.layers,
                      core::HumanBytes(static_cast<uint64_t>(summary.weights_bytes)),
                      core::HumanBytes(static_cast<uint64_t>(summary.base_weights_bytes)),
                      100 * ratio, summary.digest));
    for (const std::string& note : summary.notes) Print("  " + note + "\n");
    for (const std::string& note : loader_notes) Print("  " + note + "\n");
  }
  if (a.until_gate.empty()) return Exit::kDone;
  if (!a.json) {
    Print(fmt::format(
        "gate {} after {} attempts; more bits for: {}\n", eval::VerdictName(result.verdict),
        result.attempts,
        result.raised.empty() ? "nothing" : fmt::format("{}", fmt::join(result.raised, ", "))));
  }
  return VerdictExit(result.verdict);
}

}  // namespace

Command QuantizeCommand() {
  return MakeCommand<Arguments>("quantize", "Makes an INT8 artifact from a 16-bit model folder",
                                "octavo quantize smollm2 --scheme w8a8 --method gptq --rotate fold "
                                "--calibration calibration",
                                Declare, Run);
}

}  // namespace octavo::cli
