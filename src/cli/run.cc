// octavo run: the whole path of octavo.toml, from a base model to a channel.
#include "workflow/run.h"

#include <fmt/format.h>

#include "cli/command.h"
#include "cli/evaluation_tables.h"
#include "cli/print.h"
#include "cli/table.h"
#include "cli/verdict.h"
#include "core/bytes.h"
#include "core/version.h"
#include "registry/registry.h"

namespace octavo::cli {
namespace {

struct Arguments {
  std::string pipeline;
  std::string from;
  bool dry_run = false;
  bool json = false;
};

void Declare(Options& options, Arguments& a) {
  options.Positional("octavo.toml", a.pipeline,
                     "the pipeline: base, scheme, suite, policy, channel");
  options.Value("--from", "STEP", a.from,
                "run this step and those after it even if nothing changed: pull, quantize, eval, "
                "gate or promote");
  options.Flag("--dry-run", a.dry_run, "say what would run and why, and do nothing");
  options.Flag("--json", a.json, "print the report as JSON");
}

// One line for each step, above the bar of the one that runs.
std::string Describe(const workflow::StepEvent& event) {
  const std::string head = fmt::format("[{}/{}] {:<9}", event.index, event.count, event.step);
  switch (event.kind) {
    case workflow::StepEvent::Kind::kUnchanged:
      return head + " unchanged";
    case workflow::StepEvent::Kind::kStarted:
      return fmt::format("{} runs: {}", head, event.why);
    case workflow::StepEvent::Kind::kFinished:
      return fmt::format("{} done in {}", head, HumanSeconds(event.seconds));
    case workflow::StepEvent::Kind::kWouldRun:
      return fmt::format("{} would run: {}", head, event.why);
  }
  return head;
}

// The 16-bit model beside the artifact: what it costs and what it brings.
std::string Summary(const workflow::RunReport& report) {
  const core::Json& quantize = report.results["quantize"];
  EvaluationLabels labels;
  labels.baseline = "16-bit";
  labels.candidate = quantize["scheme"].get<std::string>();
  labels.baseline_disk_bytes = quantize["base_weights_bytes"].get<int64_t>();
  labels.candidate_disk_bytes = quantize["weights_bytes"].get<int64_t>();
  std::string text = "\n" + EvaluationTable(report.evaluation, labels) + "\n" +
                     GateTable(report.gate) + "\nverdict: " + report.verdict + "\n";
  const core::Json* promoted = core::Find(report.results, "promote");
  if (promoted == nullptr) return text + "not promoted\n";
  const std::string channel = (*promoted)["channel"].get<std::string>();
  return text + fmt::format("channel {0} serves {1:.12}; start it with `octavo serve {0}`\n",
                            channel, (*promoted)["digest"].get<std::string>());
}

Exit ExitOf(const std::string& verdict) {
  if (verdict == "fail") return Exit::kGateFailed;
  return verdict == "undecided" ? Exit::kUndecided : Exit::kDone;
}

core::Result<Exit> Run(const Arguments& a, Context& context) {
  OCTAVO_TRY(const workflow::Pipeline pipeline, workflow::LoadPipeline(a.pipeline));
  OCTAVO_TRY(const std::string home, registry::DefaultHome());
  workflow::RunOptions options;
  options.from = a.from;
  options.dry_run = a.dry_run;
  options.on_step = [&](const workflow::StepEvent& event) {
    context.progress.Note(Describe(event));
  };
  OCTAVO_TRY(const workflow::RunReport report,
             workflow::Run(pipeline, home, options, context.progress, context.cancel));
  if (a.json) {
    PrintJson({{"schema", 1},
               {"octavo_version", core::kVersion},
               {"verdict", report.verdict},
               {"artifact", report.artifact_dir},
               {"steps", report.results},
               {"gate", report.gate},
               {"evaluation", report.evaluation}});
  } else if (!a.dry_run) {
    Print(Summary(report));
  }
  return ExitOf(report.verdict);
}

}  // namespace

Command RunCommand() {
  return MakeCommand<Arguments>("run", "Runs a pipeline: pull, quantize, eval, gate, promote",
                                "octavo run octavo.toml", Declare, Run);
}

}  // namespace octavo::cli
