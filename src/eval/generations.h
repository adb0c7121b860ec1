// What both models say: greedy answers side by side, for eyes rather than for gates.
#pragma once

#include <string>
#include <vector>

#include "core/json.h"
#include "core/progress.h"
#include "core/result.h"
#include "engine/engine.h"
#include "eval/prompts.h"
#include "eval/suite.h"

namespace octavo::eval {

// Appends {prompt, baseline, candidate, first_difference} to `generations` for each prompt of the
// file: texts of at most `max_tokens` tokens (ending at the model's end-of-text token), and the
// index of the first token in which they differ, null when they are equal. `baseline` may be null;
// then its answer and the difference are null too. `model_dir` is where the chat template is.
core::Status AppendGenerations(engine::Engine* baseline, engine::Engine& candidate,
                               const std::string& model_dir, const PromptsSpec& spec,
                               core::Progress& progress, const core::CancelToken& cancel,
                               core::Json& generations);

}  // namespace octavo::eval
