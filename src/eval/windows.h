// The windows of a text, and what is true of their scores whichever way the models run.
#pragma once

#include <cstdint>
#include <span>

#include "core/result.h"
#include "eval/row_score.h"
#include "eval/suite.h"
#include "model/config.h"

namespace octavo::eval {

// Rows whose logits exist at a time: many enough to keep the matrix products busy, few enough that
// the logits of both models stay below some 150 MB at the largest vocabularies and that Ctrl-C is
// heard.
inline constexpr int64_t kTokensPerPass = 128;

// The position of a window's first scored token.
int64_t FirstTarget(const TextSpec& spec);
// How many windows of a text of so many tokens are scored; an Error when there are fewer than asked
// for.
core::Result<int64_t> CountWindows(const TextSpec& spec, int64_t tokens);
// Whether the models can be compared on it; baseline: nullptr for none.
core::Status CheckModels(const model::ModelConfig* baseline, const model::ModelConfig& candidate,
                         const TextSpec& spec);
// An Error that says whose logits are not finite.
core::Status CheckFinite(std::span<const RowScore> scores, bool has_baseline);

}  // namespace octavo::eval
