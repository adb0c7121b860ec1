// octavo export: a GGUF file from a model folder.
#include <fmt/format.h>

#include "cli/command.h"
#include "cli/print.h"
#include "core/bytes.h"
#include "core/clock.h"
#include "core/json.h"
#include "core/version.h"
#include "format/model_folder.h"
#include "hub/export_gguf.h"
#include "model/config.h"

namespace octavo::cli {
namespace {

struct Arguments {
  std::string model;
  std::string format = "gguf";
  std::string out;
  std::string type = "f16";
  bool round_scales = false;
  bool json = false;
};

void Declare(Options& options, Arguments& a) {
  options.Positional("MODEL", a.model, "a 16-bit model folder, or an artifact");
  options.Choice("--format", {"gguf"}, a.format, "of the file");
  options.Required("--out", "FILE", a.out, "the file to make");
  options.Choice("--type", {"f16", "bf16", "q8_0"}, a.type,
                 "of matrices that are not quantized; quantized ones keep their codes (8 bits as "
                 "Q8_0, 4 bits as Q4_0)");
  options.Flag("--round-scales", a.round_scales,
               "round scales that F16 cannot hold exactly, rather than refuse them");
  options.Flag("--json", a.json, "print a JSON summary");
}

format::GgufType TypeOf(std::string_view name) {
  if (name == "bf16") return format::GgufType::kBF16;
  return name == "q8_0" ? format::GgufType::kQ8_0 : format::GgufType::kF16;
}

// What octavo itself would not run, it does not hand on.
core::Status CheckRunnable(const std::string& folder) {
  OCTAVO_TRY(const format::ModelFolder opened, format::ModelFolder::Open(folder));
  const auto config = model::LoadModelConfig(opened.config(), folder);
  if (config.ok()) return {};
  return core::Error(config.error()).Context(folder);
}

core::Result<Exit> Run(const Arguments& a, Context& context) {
  const core::Stopwatch watch;
  OCTAVO_RETURN_IF_ERROR(CheckRunnable(a.model));
  OCTAVO_TRY(const hub::ExportSummary summary,
             hub::ExportGguf(a.model, a.out, {TypeOf(a.type), a.round_scales}, context.progress,
                             context.cancel));
  if (a.json) {
    PrintJson({{"schema", 1},
               {"octavo_version", core::kVersion},
               {"out", a.out},
               {"sha256", summary.sha256},
               {"tensors", summary.tensors},
               {"types", summary.types},
               {"bytes", summary.bytes},
               {"notes", summary.notes},
               {"seconds", watch.Seconds()}});
    return Exit::kDone;
  }
  std::string types;
  for (const auto& [name, count] : summary.types)
    types += fmt::format("{}{} {}", types.empty() ? "" : ", ", count, name);
  Print(fmt::format("{}: {} tensors ({}), {}, SHA-256 {:.12}\n", a.out, summary.tensors, types,
                    core::HumanBytes(static_cast<uint64_t>(summary.bytes)), summary.sha256));
  for (const std::string& note : summary.notes) PrintNote(note);
  return Exit::kDone;
}

}  // namespace

Command ExportCommand() {
  return MakeCommand<Arguments>("export", "Makes a GGUF file for llama.cpp from a model folder",
                                "octavo export smollm2-w8a16 --out smollm2-w8a16.gguf", Declare,
                                Run);
}

}  // namespace octavo::cli
