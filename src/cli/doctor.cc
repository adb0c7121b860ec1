// octavo doctor: which kernel runs each layer of a model on this machine, read from what really
// ran.
#include <fmt/format.h>

#include "cli/command.h"
#include "cli/engine_arguments.h"
#include "cli/print.h"
#include "cli/table.h"
#include "core/bytes.h"
#include "engine/engine.h"
#include "proof/kernel_report.h"

namespace octavo::cli {
namespace {

struct Arguments {
  std::string model;
  bool json = false;
  EngineArguments engine;
};

void Declare(Options& options, Arguments& a) {
  options.Positional("MODEL", a.model, "a model folder, 16-bit or quantized");
  DeclareEngineOptions(options, a.engine);
  options.Flag("--json", a.json, "print the report as JSON");
}

// One short prompt, so that every layer has run.
core::Status RunOnce(engine::Engine& engine) {
  const std::vector<engine::TokenId> tokens = {0, 1, 2, 3};
  engine::Sequence sequence = engine.NewSequence();
  const engine::Step step{&sequence, tokens, 3};
  OCTAVO_RETURN_IF_ERROR(engine.Forward({&step, 1}));
  return {};
}

std::string Cell(const core::Json& layer, std::string_view key) {
  const core::Json* value = core::Find(layer, key);
  if (value == nullptr) return "";
  return value->is_string() ? value->get<std::string>() : value->dump();
}

std::string Report(const core::Json& report) {
  Table table({"layer", "stored", "scheme", "kernel", "isa", "bytes", "calls"});
  for (const core::Json& layer : report["layers"]) {
    table.Add({Cell(layer, "name"), Cell(layer, "stored"), Cell(layer, "scheme"),
               Cell(layer, "kernel"), Cell(layer, "isa"), Cell(layer, "weight_bytes"),
               Cell(layer, "calls")});
  }
  std::string text = table.Render();
  for (const core::Json& layer : report["layers"]) {
    const core::Json* rotation = core::Find(layer, "input_rotation");
    if (rotation == nullptr) continue;
    text += fmt::format("{}: input rotated (Hadamard of order {}, seed {}), {} calls\n",
                        Cell(layer, "name"), Cell(*rotation, "order"), Cell(*rotation, "seed"),
                        Cell(*rotation, "calls"));
  }
  text += fmt::format("\nartifact {:.12}\nINT8 share of linear weights: {:.1f}%\n",
                      Cell(report, "artifact_digest"),
                      100 * report["int8_fraction_of_linear_weights"].get<double>());
  for (const core::Json& fallback : report["fallbacks"]) {
    const std::string promised = Cell(fallback, "promised");
    const bool skipped = core::Find(fallback, "rotation_skipped")->get<bool>();
    text += fmt::format("FALLBACK: {} is stored as {}, held as {} and ran {}{}{}\n",
                        Cell(fallback, "name"), Cell(fallback, "stored"), Cell(fallback, "packed"),
                        Cell(fallback, "kernel"), skipped ? " on inputs that were not rotated" : "",
                        promised.empty() ? "" : "; octavo.json promises " + promised);
  }
  if (report["fallbacks"].empty()) {
    text += "no layer runs in another type than it is stored in or octavo.json promises\n";
  }
  return text;
}

core::Result<Exit> Run(const Arguments& a, Context&) {
  OCTAVO_TRY(const proof::Promise promise, proof::ReadPromise(a.model));
  OCTAVO_TRY(const auto engine, engine::Engine::Load(a.model, ToEngineOptions(a.engine, 64)));
  OCTAVO_RETURN_IF_ERROR(RunOnce(*engine));
  const core::Json report = proof::KernelReport(engine->model(), promise);
  if (a.json) {
    PrintJson(report);
  } else {
    Print(Report(report));
  }
  return report["fallbacks"].empty() ? Exit::kDone : Exit::kFailed;
}

}  // namespace

Command DoctorCommand() {
  return MakeCommand<Arguments>("doctor", "Shows which kernel runs each layer on this machine",
                                "octavo doctor smollm2-w8a16", Declare, Run);
}

}  // namespace octavo::cli
