// run: the steps of a pipeline in their order, each only if something it depends on has changed.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "core/json.h"
#include "core/progress.h"
#include "core/result.h"
#include "workflow/pipeline.h"

namespace octavo::workflow {

// What becomes of a step, as the listener sees it.
struct StepEvent {
  enum class Kind { kUnchanged, kStarted, kFinished, kWouldRun };
  Kind kind;
  std::string_view step;
  int index;        // from 1
  int count;        // of all steps
  std::string why;  // it runs: "it never ran", "base changed", ...
  double seconds = 0;
};

struct RunOptions {
  std::string from = {};  // this step and those after it run even if nothing changed; empty: none
  bool dry_run = false;   // says what would run, and does nothing
  std::function<void(const StepEvent&)> on_step = {};
};

struct RunReport {
  std::string verdict;  // of the gate: "pass", "fail", "undecided"; empty in a dry run
  core::Json evaluation;
  core::Json gate;
  core::Json results;  // of each step, by name
  std::string artifact_dir;
};

// Runs the pipeline in its run folder. Killed at any moment, the next run goes on where it stopped
// and ends with the same artifact. The steps after a gate that did not pass are not run. Errors
// name the step; another run in the same folder is one.
core::Result<RunReport> Run(const Pipeline& pipeline, const std::string& registry_home,
                            const RunOptions& options, core::Progress& progress,
                            const core::CancelToken& cancel);

}  // namespace octavo::workflow
