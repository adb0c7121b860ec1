// Texts through models that do not fit into memory together: each runs block by block over all
// windows, and the two heads meet in chunks of rows.
#pragma once

#include <span>
#include <vector>

#include "core/progress.h"
#include "core/result.h"
#include "core/thread_pool.h"
#include "engine/streamed_model.h"
#include "eval/suite.h"
#include "eval/text_scores.h"

namespace octavo::eval {

struct StreamedText {
  const TextSpec* spec;
  std::vector<engine::TokenId> ids;
};

// The scores of each text, with the bits of ScoreText. Hidden states of both models are kept as
// `hidden` says, half of its memory each. A forecast goes to `progress` first, and what cannot fit
// into the memory that is available is refused. Cancelled before the heads, no text has a score.
core::Result<std::vector<TextScores>> ScoreTextsStreamed(
    engine::StreamedModel* baseline, engine::StreamedModel& candidate,
    std::span<const StreamedText> texts, const engine::HiddenStatesOptions& hidden,
    core::ThreadPool& pool, core::Progress& progress, const core::CancelToken& cancel);

}  // namespace octavo::eval
