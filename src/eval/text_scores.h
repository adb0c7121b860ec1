// One text through both models at once, window by window; nothing but sums and one number for each
// token is kept.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/progress.h"
#include "core/result.h"
#include "engine/engine.h"
#include "eval/row_score.h"
#include "eval/suite.h"
#include "stats/interval.h"

namespace octavo::eval {

struct TextScores {
  int64_t windows = 0;
  int64_t tokens = 0;               // scored ones
  stats::ClusterMean baseline_nll;  // all means are over tokens, with windows as clusters
  stats::ClusterMean candidate_nll;
  stats::ClusterMean nll_difference;  // candidate - baseline
  stats::ClusterMean kld;
  stats::ClusterMean same_top;  // 1 or 0
  std::vector<double> klds;     // of each token
  bool complete = true;         // false when cancelled before the last window

  // The scores of one window's tokens.
  void Add(std::span<const RowScore> scores);
};

// Runs the windows of `ids` that `spec` asks for through `candidate` and, unless it is null,
// `baseline` (then every difference is 0). Each window is a sequence of its own, without special
// tokens. Errors: fewer windows than asked for, a context longer than a model's, vocabularies of
// different size, logits that are not finite. When cancelled, what has been scored so far is
// returned.
core::Result<TextScores> ScoreText(engine::Engine* baseline, engine::Engine& candidate,
                                   const TextSpec& spec, std::span<const engine::TokenId> ids,
                                   core::Progress& progress, const core::CancelToken& cancel);

}  // namespace octavo::eval
