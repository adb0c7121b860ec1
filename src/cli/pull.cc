// octavo pull: a Hugging Face folder with 16-bit weights from a folder or a GGUF file.
#include "hub/pull.h"

#include <fmt/format.h>

#include "cli/command.h"
#include "cli/print.h"
#include "core/bytes.h"
#include "core/clock.h"
#include "core/json.h"
#include "core/version.h"

namespace octavo::cli {
namespace {

struct Arguments {
  std::string source;
  std::string out;
  std::string dtype = "as-stored";
  bool json = false;
};

void Declare(Options& options, Arguments& a) {
  options.Positional("SRC", a.source, "a Hugging Face model folder, or a .gguf file");
  options.Required("--out", "DIR", a.out, "the folder to make");
  options.Choice(
      "--dtype", {"as-stored", "f16", "bf16", "f32"}, a.dtype,
      "type of the float weights; as-stored keeps F16, BF16 and F32, and turns quantized "
      "GGUF types into F16");
  options.Flag("--json", a.json, "print a JSON summary");
}

std::optional<tensor::DType> WantedDType(std::string_view name) {
  if (name == "f16") return tensor::DType::kF16;
  if (name == "bf16") return tensor::DType::kBF16;
  if (name == "f32") return tensor::DType::kF32;
  return std::nullopt;
}

core::Result<Exit> Run(const Arguments& a, Context& context) {
  const core::Stopwatch watch;
  OCTAVO_TRY(const hub::PullSummary summary,
             hub::Pull(a.source, a.out, {WantedDType(a.dtype)}, context.progress, context.cancel));
  if (a.json) {
    PrintJson({{"schema", 1},
               {"octavo_version", core::kVersion},
               {"out", a.out},
               {"digest", summary.digest},
               {"tensors", summary.tensors},
               {"weights_bytes", summary.weights_bytes},
               {"seconds", watch.Seconds()}});
  } else {
    Print(fmt::format("{}: {} tensors, {}, digest {:.12}\n", a.out, summary.tensors,
                      core::HumanBytes(static_cast<uint64_t>(summary.weights_bytes)),
                      summary.digest));
  }
  return Exit::kDone;
}

}  // namespace

Command PullCommand() {
  return MakeCommand<Arguments>(
      "pull", "Makes a 16-bit Hugging Face folder from a folder or GGUF file",
      "octavo pull SmolLM2-135M-Instruct.gguf --out smollm2", Declare, Run);
}

}  // namespace octavo::cli
