#include "eval/streamed_scores.h"

#include <algorithm>
#include <optional>

#include <fmt/format.h>

#include "core/host.h"
#include "eval/windows.h"

namespace octavo::eval {
namespace {

using core::Result;
using core::Status;
using engine::HiddenStates;
using engine::StreamedModel;
using engine::TokenId;

constexpr double kMegabyte = 1e6;

// The windows of all texts, one after the other: a window's last token is a target only.
struct Windows {
  std::vector<int64_t> counts;   // of each text
  std::vector<int64_t> lengths;  // inputs of each window
  std::vector<TokenId> ids;      // of all windows
};

Result<Windows> CutWindows(const StreamedModel* baseline, const StreamedModel& candidate,
                           std::span<const StreamedText> texts) {
  Windows out;
  for (const StreamedText& text : texts) {
    const TextSpec& spec = *text.spec;
    const auto cut = [&]() -> Status {
      OCTAVO_RETURN_IF_ERROR(CheckModels(baseline != nullptr ? &baseline->config() : nullptr,
                                         candidate.config(), spec));
      OCTAVO_TRY(const int64_t windows, CountWindows(spec, static_cast<int64_t>(text.ids.size())));
      out.counts.push_back(windows);
      for (int64_t i = 0; i < windows; ++i) {
        const auto begin = text.ids.begin() + i * spec.context;
        out.ids.insert(out.ids.end(), begin, begin + spec.context - 1);
        out.lengths.push_back(spec.context - 1);
      }
      return {};
    };
    OCTAVO_RETURN_IF_ERROR(cut().Context(fmt::format("text '{}'", spec.name)));
  }
  return out;
}

// What will be resident at most: a block and the hidden states, and later both heads and logits.
Status Forecast(const StreamedModel* baseline, const StreamedModel& candidate, int64_t rows,
                const engine::HiddenStatesOptions& hidden, core::Progress& progress) {
  int64_t block = 0;
  int64_t kept = 0;
  int64_t spilled = 0;
  for (const StreamedModel* model : {baseline, &candidate}) {
    if (model == nullptr) continue;
    block = std::max(block, model->largest_block_bytes());
    const int64_t bytes = rows * model->config().hidden_size * static_cast<int64_t>(sizeof(float));
    (bytes <= hidden.max_memory_bytes ? kept : spilled) += bytes;
  }
  // A tensor of the block is mapped while it is packed, and a pass has scratch memory.
  const double need = 1.25 * static_cast<double>(block) + static_cast<double>(kept) + 3e8;
  progress.Note(fmt::format(
      "block by block: largest block {:.0f} MB, hidden states {:.0f} MB in memory and {:.0f} MB on "
      "disk, in all some {:.0f} MB of memory",
      static_cast<double>(block) / kMegabyte, static_cast<double>(kept) / kMegabyte,
      static_cast<double>(spilled) / kMegabyte, need / kMegabyte));
  const auto available = core::AvailableMemoryBytes();
  if (!available || need <= static_cast<double>(*available)) return {};
  return core::Invalid(fmt::format(
      "one block with its hidden states needs some {:.0f} MB of memory, {:.0f} MB are available",
      need / kMegabyte, static_cast<double>(*available) / kMegabyte));
}

// Scores of one window from the states that the last blocks left.
class HeadScorer {
 public:
  HeadScorer(StreamedModel* baseline, StreamedModel& candidate, core::ThreadPool& pool)
      : baseline_(baseline), candidate_(candidate), pool_(pool) {}

  // targets: of the rows from `row` on, at most kTokensPerPass.
  Status Score(const HiddenStates* baseline_states, const HiddenStates& candidate_states,
               int64_t row, std::span<const TokenId> targets, std::span<RowScore> scores) {
    OCTAVO_RETURN_IF_ERROR(
        Logits(candidate_, candidate_states, row, targets.size(), candidate_logits_));
    if (baseline_ != nullptr) {
      OCTAVO_RETURN_IF_ERROR(
          Logits(*baseline_, *baseline_states, row, targets.size(), baseline_logits_));
    }
    ScoreRows(baseline_ != nullptr ? baseline_logits_ : candidate_logits_, candidate_logits_,
              targets, pool_, scores);
    return {};
  }

 private:
  Status Logits(StreamedModel& model, const HiddenStates& states, int64_t row, size_t rows,
                std::vector<float>& logits) {
    hidden_.resize(rows * static_cast<size_t>(states.width()));
    OCTAVO_RETURN_IF_ERROR(states.Read(row, hidden_));
    logits.resize(rows * static_cast<size_t>(model.config().vocab_size));
    model.Head(hidden_.data(), static_cast<int64_t>(rows), logits.data());
    return {};
  }
  StreamedModel* baseline_;
  StreamedModel& candidate_;
  core::ThreadPool& pool_;
  std::vector<float> hidden_;
  std::vector<float> baseline_logits_;
  std::vector<float> candidate_logits_;
};

// A model over all windows; nothing when cancelled.
Result<std::optional<HiddenStates>> RunModel(StreamedModel& model, const char* name,
                                             const Windows& windows,
                                             const engine::HiddenStatesOptions& hidden,
                                             core::Progress& progress,
                                             const core::CancelToken& cancel) {
  OCTAVO_TRY(HiddenStates states,
             HiddenStates::Create(windows.lengths, model.config().hidden_size, hidden));
  progress.Begin(fmt::format("{}, block by block", name), states.rows() * model.config().layers,
                 "rows");
  const Status status = model.Run(windows.ids, states, progress, cancel);
  progress.End();
  if (!status.ok() && status.error().code() == core::ErrorCode::kInterrupted)
    return std::optional<HiddenStates>();
  OCTAVO_RETURN_IF_ERROR(status);
  return std::optional<HiddenStates>(std::move(states));
}

}  // namespace

Result<std::vector<TextScores>> ScoreTextsStreamed(StreamedModel* baseline,
                                                   StreamedModel& candidate,
                                                   std::span<const StreamedText> texts,
                                                   const engine::HiddenStatesOptions& hidden,
                                                   core::ThreadPool& pool, core::Progress& progress,
                                                   const core::CancelToken& cancel) {
  OCTAVO_TRY(const Windows windows, CutWindows(baseline, candidate, texts));
  engine::HiddenStatesOptions each = hidden;
  each.max_memory_bytes /= baseline != nullptr ? 2 : 1;
  OCTAVO_RETURN_IF_ERROR(
      Forecast(baseline, candidate, static_cast<int64_t>(windows.ids.size()), each, progress));
  std::vector<TextScores> out(texts.size());
  for (TextScores& scores : out) scores.complete = false;
  std::optional<HiddenStates> baseline_states;
  if (baseline != nullptr) {
    OCTAVO_TRY(baseline_states, RunModel(*baseline, "baseline", windows, each, progress, cancel));
    if (!baseline_states) return out;
  }
  OCTAVO_TRY(const auto candidate_states,
             RunModel(candidate, "candidate", windows, each, progress, cancel));
  if (!candidate_states) return out;
  if (baseline != nullptr) OCTAVO_RETURN_IF_ERROR(baseline->LoadHead());
  OCTAVO_RETURN_IF_ERROR(candidate.LoadHead());

  HeadScorer scorer(baseline, candidate, pool);
  std::vector<RowScore> scores;
  int64_t first_row = 0;  // of the window
  for (size_t t = 0; t < texts.size(); ++t) {
    const TextSpec& spec = *texts[t].spec;
    const int64_t first_target = FirstTarget(spec);
    progress.Begin(fmt::format("heads over {}", core::Printable(spec.name, 40)), windows.counts[t],
                   "windows");
    for (int64_t i = 0; i < windows.counts[t]; ++i, first_row += spec.context - 1) {
      const auto window =
          std::span(texts[t].ids)
              .subspan(static_cast<size_t>(i * spec.context), static_cast<size_t>(spec.context));
      scores.resize(static_cast<size_t>(spec.context - first_target));
      for (int64_t target = first_target; target < spec.context; target += kTokensPerPass) {
        if (cancel.cancelled()) return out;
        const auto count = static_cast<size_t>(std::min(kTokensPerPass, spec.context - target));
        OCTAVO_RETURN_IF_ERROR(scorer.Score(
            baseline_states ? &*baseline_states : nullptr, *candidate_states,
            first_row + target - 1, window.subspan(static_cast<size_t>(target), count),
            std::span(scores).subspan(static_cast<size_t>(target - first_target), count)));
      }
      OCTAVO_RETURN_IF_ERROR(CheckFinite(scores, baseline != nullptr)
                                 .Context(fmt::format("text '{}': window {}", spec.name, i)));
      out[t].Add(scores);
      progress.Advance(1);
    }
    progress.End();
    out[t].complete = true;
  }
  return out;
}

}  // namespace octavo::eval
