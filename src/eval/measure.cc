// Stopwatches and high-water marks.
#include "eval/measure.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/clock.h"
#include "core/host.h"
#include "core/random.h"
#include "eval/document.h"
#include "stats/interval.h"
#include "stats/quantile.h"

namespace octavo::eval {
namespace {

using core::Json;
using core::Result;
using engine::Engine;
using engine::TokenId;

constexpr int64_t kPromptTokens = 256;
constexpr int64_t kDecodeTokens = 32;
// Few enough to take seconds, many enough that one disturbed round does not decide.
constexpr int kRounds = 7;

struct Rates {
  double prefill = 0;  // tokens per second
  double decode = 0;
};

// Any ids do: the work does not depend on them.
std::vector<TokenId> RandomIds(const model::ModelConfig& config, int64_t count) {
  core::Random random(1);
  std::vector<TokenId> ids(static_cast<size_t>(std::min(count, config.context)));
  for (TokenId& id : ids) {
    id = static_cast<TokenId>(random.Below(static_cast<uint64_t>(config.vocab_size)));
  }
  return ids;
}

// One prompt and the tokens behind it; three quarters of a context too short for both are prompt.
Result<Rates> RunOnce(Engine& engine) {
  const std::vector<TokenId> ids = RandomIds(engine.config(), kPromptTokens + kDecodeTokens);
  const auto total = static_cast<int64_t>(ids.size());
  const int64_t prompt = std::max<int64_t>(1, std::min(kPromptTokens, total * 3 / 4));
  engine::Sequence sequence = engine.NewSequence();

  const core::Stopwatch prefill_watch;
  const engine::Step prefill{&sequence, std::span(ids).first(static_cast<size_t>(prompt)),
                             prompt - 1};
  OCTAVO_RETURN_IF_ERROR(engine.Forward({&prefill, 1}));
  Rates rates;
  rates.prefill = static_cast<double>(prompt) / prefill_watch.Seconds();

  const core::Stopwatch decode_watch;
  for (int64_t i = prompt; i < total; ++i) {
    const engine::Step step{&sequence, std::span(ids).subspan(static_cast<size_t>(i), 1), 0};
    OCTAVO_RETURN_IF_ERROR(engine.Forward({&step, 1}));
  }
  rates.decode = static_cast<double>(std::max<int64_t>(total - prompt, 1)) / decode_watch.Seconds();
  return rates;
}

Json MedianRates(const std::vector<Rates>& rounds) {
  std::vector<double> prefill;
  std::vector<double> decode;
  for (const Rates& rates : rounds) {
    prefill.push_back(rates.prefill);
    decode.push_back(rates.decode);
  }
  return {{"prefill_tokens_per_s", stats::Median(prefill)},
          {"decode_tokens_per_s", stats::Median(decode)}};
}

// The ratio of paired rounds; both vectors are equally long.
stats::Estimate Ratio(const std::vector<Rates>& candidate, const std::vector<Rates>& baseline,
                      double Rates::*rate) {
  stats::ClusterMean log_ratio;
  for (size_t i = 0; i < candidate.size(); ++i) {
    log_ratio.Add(std::log(candidate[i].*rate / baseline[i].*rate), 1);
  }
  return stats::Exp(log_ratio.Mean(0.95));
}

}  // namespace

Result<Json> MeasureMemory(const std::string& model_dir, const engine::EngineOptions& options) {
  const bool can_reset = core::ResetPeakRss();
  OCTAVO_TRY(const std::unique_ptr<Engine> engine, Engine::Load(model_dir, options));
  OCTAVO_RETURN_IF_ERROR(RunOnce(*engine));
  const std::optional<int64_t> peak = can_reset ? core::PeakRssBytes() : std::nullopt;
  return Json{{"weights_bytes", engine->model().resident_bytes()},
              {"peak_rss_bytes", peak ? Json(*peak) : Json()}};
}

Result<Json> MeasureSpeed(Engine* baseline, Engine& candidate, core::Progress& progress,
                          const core::CancelToken& cancel) {
  // The first round warms caches and buffers up and is not counted.
  progress.Begin("speed", kRounds + 1, "rounds");
  std::vector<Rates> candidate_rounds;
  std::vector<Rates> baseline_rounds;
  for (int round = 0; round <= kRounds; ++round) {
    OCTAVO_RETURN_IF_ERROR(cancel.Check());
    // Who goes first alternates, so that neither always follows the other.
    for (int turn = 0; turn < 2; ++turn) {
      const bool is_candidate = (round + turn) % 2 == 0;
      if (!is_candidate && baseline == nullptr) continue;
      OCTAVO_TRY(const Rates rates, RunOnce(is_candidate ? candidate : *baseline));
      if (round > 0) (is_candidate ? candidate_rounds : baseline_rounds).push_back(rates);
    }
    progress.Advance(1);
  }
  progress.End();

  Json speed = {{"baseline", baseline != nullptr ? MedianRates(baseline_rounds) : Json()},
                {"candidate", MedianRates(candidate_rounds)},
                {"prefill_ratio", nullptr},
                {"prefill_ratio_ci95", nullptr},
                {"decode_ratio", nullptr},
                {"decode_ratio_ci95", nullptr},
                {"rounds", kRounds}};
  if (baseline == nullptr) return speed;
  PutEstimate(speed, "prefill_ratio", Ratio(candidate_rounds, baseline_rounds, &Rates::prefill));
  PutEstimate(speed, "decode_ratio", Ratio(candidate_rounds, baseline_rounds, &Rates::decode));
  return speed;
}

}  // namespace octavo::eval
