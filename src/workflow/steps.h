// The steps of a pipeline: what each depends on, whether what it made is still there, and what it
// does. A new step is one entry of the table.
#pragma once

#include <span>
#include <string>

#include "core/json.h"
#include "core/progress.h"
#include "core/result.h"
#include "workflow/journal.h"
#include "workflow/pipeline.h"

namespace octavo::workflow {

// What a step sees while the pipeline runs.
struct Work {
  const Pipeline& pipeline;
  const std::string& home;  // of the registry
  Journal& journal;
  core::Progress& progress;
  const core::CancelToken& cancel;
  core::Json results = core::Json::object();  // of the steps before this one, by name

  std::string base_dir() const;
  std::string artifact_dir() const;
  std::string eval_path() const;
  std::string gate_path() const;
};

struct Step {
  const char* name;
  // Everything that decides the step's result, as JSON; the same value means: nothing to do.
  core::Result<core::Json> (*inputs)(Work& work);
  // Whether what the finished step left is still there, without reading weights again.
  bool (*present)(const Work& work, const core::Json& result);
  // Does the work. Everything it leaves appears atomically, so that it may be killed at any moment.
  core::Result<core::Json> (*run)(Work& work);
};

// In their order.
std::span<const Step> Steps();

}  // namespace octavo::workflow
