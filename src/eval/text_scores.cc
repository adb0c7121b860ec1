// Windows, the two forward passes, and what is summed over them.
#include "eval/text_scores.h"

#include <algorithm>
#include <optional>

#include <fmt/format.h>

#include "core/bytes.h"
#include "eval/windows.h"

namespace octavo::eval {
namespace {

using core::Result;
using engine::Engine;
using engine::TokenId;

// Both models over one window, pass by pass, so that only one pass' logits exist at a time.
class WindowScorer {
 public:
  WindowScorer(Engine* baseline, Engine& candidate, int64_t first_target)
      : baseline_(baseline), candidate_(candidate), first_target_(first_target) {}

  // Scores for the targets of `window`, in order, valid until the next call; fewer when cancelled.
  Result<std::span<const RowScore>> Score(std::span<const TokenId> window,
                                          const core::CancelToken& cancel) {
    engine::Sequence candidate_sequence = candidate_.NewSequence();
    std::optional<engine::Sequence> baseline_sequence;
    if (baseline_ != nullptr) baseline_sequence.emplace(baseline_->NewSequence());
    scores_.clear();
    // The last token is a target only; nothing comes after it that it could predict.
    const auto inputs = static_cast<int64_t>(window.size()) - 1;
    for (int64_t begin = 0; begin < inputs && !cancel.cancelled(); begin += kTokensPerPass) {
      const int64_t count = std::min(kTokensPerPass, inputs - begin);
      const auto tokens = window.subspan(static_cast<size_t>(begin), static_cast<size_t>(count));
      // Row i of the pass predicts the token at position begin + i + 1.
      const int64_t first_row = std::clamp<int64_t>(first_target_ - 1 - begin, 0, count);
      const engine::Step step{&candidate_sequence, tokens, first_row};
      OCTAVO_TRY(const auto logits, candidate_.Forward({&step, 1}));
      std::span<const float> baseline_logits = logits;
      if (baseline_ != nullptr) {
        const engine::Step baseline_step{&*baseline_sequence, tokens, first_row};
        OCTAVO_TRY(baseline_logits, baseline_->Forward({&baseline_step, 1}));
      }
      const auto rows = static_cast<size_t>(count - first_row);
      const auto targets = window.subspan(static_cast<size_t>(begin + first_row + 1), rows);
      const size_t scored = scores_.size();
      scores_.resize(scored + rows);
      ScoreRows(baseline_logits, logits, targets, candidate_.pool(),
                std::span(scores_).subspan(scored));
    }
    return std::span<const RowScore>(scores_);
  }

 private:
  Engine* baseline_;
  Engine& candidate_;
  int64_t first_target_;
  std::vector<RowScore> scores_;
};

}  // namespace

void TextScores::Add(std::span<const RowScore> scores) {
  RowScore sums;
  double difference = 0;
  double agreements = 0;
  for (const RowScore& score : scores) {
    sums.baseline_nll += score.baseline_nll;
    sums.candidate_nll += score.candidate_nll;
    sums.kld += score.kld;
    difference += score.candidate_nll - score.baseline_nll;
    agreements += score.same_top ? 1 : 0;
    klds.push_back(score.kld);
  }
  const auto count = static_cast<int64_t>(scores.size());
  baseline_nll.Add(sums.baseline_nll, count);
  candidate_nll.Add(sums.candidate_nll, count);
  nll_difference.Add(difference, count);
  kld.Add(sums.kld, count);
  same_top.Add(agreements, count);
  ++windows;
  tokens += count;
}

Result<TextScores> ScoreText(Engine* baseline, Engine& candidate, const TextSpec& spec,
                             std::span<const TokenId> ids, core::Progress& progress,
                             const core::CancelToken& cancel) {
  OCTAVO_RETURN_IF_ERROR(
      CheckModels(baseline != nullptr ? &baseline->config() : nullptr, candidate.config(), spec));
  OCTAVO_TRY(const int64_t windows, CountWindows(spec, static_cast<int64_t>(ids.size())));
  progress.Begin(fmt::format("perplexity of {}", core::Printable(spec.name, 40)),
                 windows * spec.context, "tokens");
  const int64_t first_target = FirstTarget(spec);
  const auto targets = static_cast<size_t>(spec.context - first_target);
  WindowScorer scorer(baseline, candidate, first_target);
  TextScores text;
  for (int64_t i = 0; i < windows; ++i) {
    const auto window =
        ids.subspan(static_cast<size_t>(i * spec.context), static_cast<size_t>(spec.context));
    OCTAVO_TRY(const auto scores, scorer.Score(window, cancel));
    if (scores.size() < targets) {
      text.complete = false;
      break;
    }
    OCTAVO_RETURN_IF_ERROR(
        CheckFinite(scores, baseline != nullptr).Context(fmt::format("window {}", i)));
    text.Add(scores);
    progress.Advance(spec.context);
  }
  progress.End();
  return text;
}

}  // namespace octavo::eval
