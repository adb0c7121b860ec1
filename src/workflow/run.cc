#include "workflow/run.h"

#include <optional>

#include <fmt/format.h>

#include "core/clock.h"
#include "core/file.h"
#include "registry/lock.h"
#include "workflow/journal.h"
#include "workflow/promotion.h"
#include "workflow/steps.h"

namespace octavo::workflow {
namespace {

using core::Json;

core::Status CheckStepName(const std::string& name) {
  std::string known;
  for (const Step& step : Steps()) {
    if (name.empty() || name == step.name) return {};
    known += (known.empty() ? "" : ", ") + std::string(step.name);
  }
  return core::Usage(fmt::format("no step '{}'; the steps are {}", core::Printable(name), known));
}

// Found out now, not after the evaluation.
core::Status CheckGateCanSee(const Pipeline& pipeline) {
  OCTAVO_TRY(const eval::Suite suite, eval::LoadSuite(pipeline.suite));
  OCTAVO_TRY(const eval::Policy policy, PolicyOf(pipeline.policy));
  return eval::CheckSuiteMeasures(suite, policy).Context(pipeline.suite);
}

// Why the step must run; nothing when it need not.
std::optional<std::string> WhyRun(const Work& work, const Step& step, const Json& inputs,
                                  bool forced) {
  const Json* known = work.journal.InputsOf(step.name);
  const Json* result = work.journal.ResultOf(step.name);
  if (known == nullptr || result == nullptr) return "it was never finished";
  for (const auto& [name, value] : inputs.items()) {
    const Json* before = core::Find(*known, name);
    if (before == nullptr || *before != value) return name + " changed";
  }
  if (!step.present(work, *result)) return "what it made is gone or changed";
  if (forced) return "--from asks for it";
  return std::nullopt;
}

class Runner {
 public:
  Runner(Work& work, const RunOptions& options) : work_(work), options_(options) {}

  core::Status RunAll() {
    for (const Step& step : Steps()) {
      ++index_;
      forced_ = forced_ || options_.from == step.name;
      OCTAVO_RETURN_IF_ERROR(RunOne(step).Context(fmt::format("step {}", step.name)));
      if (std::string_view(step.name) == "gate" && !gate_passed()) break;
    }
    return {};
  }

 private:
  bool gate_passed() const {
    const Json* gate = core::Find(work_.results, "gate");
    return gate == nullptr || (*gate)["verdict"] == "pass";
  }

  void Tell(StepEvent::Kind kind, const Step& step, std::string why, double seconds = 0) {
    if (!options_.on_step) return;
    options_.on_step(
        {kind, step.name, index_, static_cast<int>(Steps().size()), std::move(why), seconds});
  }

  core::Status RunOne(const Step& step) {
    if (options_.dry_run && !waiting_for_.empty()) {
      Tell(StepEvent::Kind::kWouldRun, step, "after " + waiting_for_);
      return {};
    }
    OCTAVO_RETURN_IF_ERROR(work_.cancel.Check());
    OCTAVO_TRY(Json inputs, step.inputs(work_));
    const auto why = WhyRun(work_, step, inputs, forced_);
    if (!why) {
      work_.results[step.name] = *work_.journal.ResultOf(step.name);
      Tell(StepEvent::Kind::kUnchanged, step, "");
      return {};
    }
    if (options_.dry_run) {
      Tell(StepEvent::Kind::kWouldRun, step, *why);
      waiting_for_ = step.name;
      return {};
    }
    Tell(StepEvent::Kind::kStarted, step, *why);
    const core::Stopwatch watch;
    OCTAVO_TRY(Json result, step.run(work_));
    OCTAVO_RETURN_IF_ERROR(work_.journal.Record(step.name, std::move(inputs), result));
    work_.results[step.name] = std::move(result);
    Tell(StepEvent::Kind::kFinished, step, "", watch.Seconds());
    return {};
  }

  Work& work_;
  const RunOptions& options_;
  int index_ = 0;
  bool forced_ = false;
  std::string waiting_for_;  // in a dry run: the first step that would run
};

}  // namespace

core::Result<RunReport> Run(const Pipeline& pipeline, const std::string& registry_home,
                            const RunOptions& options, core::Progress& progress,
                            const core::CancelToken& cancel) {
  OCTAVO_RETURN_IF_ERROR(CheckStepName(options.from));
  OCTAVO_RETURN_IF_ERROR(CheckGateCanSee(pipeline));
  std::optional<registry::StoreLock> lock;
  if (!options.dry_run) {
    OCTAVO_RETURN_IF_ERROR(core::MakeFolders(pipeline.run_dir));
    OCTAVO_TRY(auto held, registry::StoreLock::Try(core::JoinPath(pipeline.run_dir, "lock")));
    if (!held) {
      return core::IoError(pipeline.run_dir + ": another octavo run is at work in this folder");
    }
    lock.emplace(std::move(*held));
  }
  OCTAVO_TRY(Journal journal, Journal::Load(pipeline.run_dir));
  Work work{pipeline, registry_home, journal, progress, cancel};
  OCTAVO_RETURN_IF_ERROR(Runner(work, options).RunAll());

  RunReport report;
  report.results = work.results;
  report.artifact_dir = work.artifact_dir();
  if (options.dry_run) return report;
  OCTAVO_TRY(report.evaluation, core::ReadJsonFile(work.eval_path()));
  OCTAVO_TRY(report.gate, core::ReadJsonFile(work.gate_path()));
  OCTAVO_TRY(report.verdict, core::GetString(report.gate, "verdict"));
  return report;
}

}  // namespace octavo::workflow
