#include "cli/speed.h"

#include <algorithm>
#include <functional>
#include <set>

#include <fmt/format.h>

#include "cli/engine_arguments.h"
#include "core/clock.h"
#include "core/random.h"
#include "stats/quantile.h"

namespace octavo::cli {
namespace {

using core::Json;
using core::Result;
using engine::TokenId;

constexpr int kRounds = 3;
constexpr double kHighestFraction = 1.02;

// The work does not depend on which ids they are.
std::vector<TokenId> RandomIds(const engine::Engine& engine, int64_t count) {
  core::Random random(1);
  std::vector<TokenId> ids(static_cast<size_t>(count));
  for (TokenId& id : ids) {
    id = static_cast<TokenId>(random.Below(static_cast<uint64_t>(engine.config().vocab_size)));
  }
  return ids;
}

Result<double> PrefillSeconds(engine::Engine& engine, int64_t tokens, int64_t prompts) {
  const std::vector<TokenId> ids = RandomIds(engine, tokens);
  std::vector<engine::Sequence> sequences;
  for (int64_t i = 0; i < prompts; ++i) sequences.push_back(engine.NewSequence());
  std::vector<engine::Step> steps;
  for (engine::Sequence& sequence : sequences) steps.push_back({&sequence, ids, tokens - 1});
  const core::Stopwatch watch;
  OCTAVO_RETURN_IF_ERROR(engine.Forward(steps));
  return watch.Seconds();
}

struct DecodeRound {
  double seconds;
  double linear_seconds;
  double attention_seconds;
  double read_bytes_per_s;  // 0: not measured
};

// `tokens` steps that each write one token of `batch` sequences, behind `context` ones.
Result<DecodeRound> OneDecode(engine::Engine& engine, int64_t batch, int64_t context,
                              int64_t tokens) {
  const std::vector<TokenId> ids = RandomIds(engine, context);
  std::vector<engine::Sequence> sequences;
  for (int64_t i = 0; i < batch; ++i) sequences.push_back(engine.NewSequence());
  std::vector<engine::Step> steps;
  for (engine::Sequence& sequence : sequences) {
    const engine::Step prefill{&sequence, ids, context};
    OCTAVO_RETURN_IF_ERROR(engine.Forward({&prefill, 1}));
    steps.push_back({&sequence, std::span(ids).first(1), 0});
  }
  engine.model().ResetProfile();
  const core::Stopwatch watch;
  for (int64_t i = 0; i < tokens; ++i) OCTAVO_RETURN_IF_ERROR(engine.Forward(steps));
  const double seconds = watch.Seconds();
  const model::Profile& profile = engine.model().profile();
  return DecodeRound{seconds, profile.linear_seconds, profile.attention_seconds, 0};
}

// What `measure` gives in each round but the first, which warms up.
template <typename Round>
Result<std::vector<Round>> Rounds(const core::CancelToken& cancel,
                                  const std::function<Result<Round>()>& measure) {
  std::vector<Round> rounds;
  for (int round = 0; round <= kRounds; ++round) {
    OCTAVO_RETURN_IF_ERROR(cancel.Check());
    OCTAVO_TRY(const Round one, measure());
    if (round > 0) rounds.push_back(one);
  }
  return rounds;
}

template <typename Round, typename Value>
double MedianOf(const std::vector<Round>& rounds, const Value& value) {
  std::vector<double> values;
  for (const Round& round : rounds) values.push_back(value(round));
  return stats::Median(values);
}

// The shares of the time in `out`.
template <typename Round>
void PutShares(const std::vector<Round>& rounds, Json& out) {
  out["linear_share"] =
      MedianOf(rounds, [](const Round& r) { return r.linear_seconds / r.seconds; });
  out["attention_share"] =
      MedianOf(rounds, [](const Round& r) { return r.attention_seconds / r.seconds; });
}

std::optional<double> PeakOf(kernels::InputType type, const kernels::MachineLimits& limits) {
  switch (type) {
    case kernels::InputType::kI8:
      return limits.int8_ops_per_s;
    case kernels::InputType::kI24:  // three int8 products for each
      if (limits.int8_ops_per_s) return *limits.int8_ops_per_s / 3;
      return std::nullopt;
    case kernels::InputType::kBf16:
      return limits.bf16_ops_per_s ? limits.bf16_ops_per_s : limits.f32_ops_per_s;
    case kernels::InputType::kF32:
      return limits.f32_ops_per_s;
  }
  return std::nullopt;
}

// Seconds that the linear layers take at the machine's peak for `rows` rows, of which `head_rows`
// go through lm_head.
double LinearLimitSeconds(const engine::Engine& engine, int64_t rows, int64_t head_rows,
                          const kernels::MachineLimits& limits) {
  const model::Model& model = engine.model();
  const std::vector<const model::Linear*> linears = model.linears();
  double seconds = 0;
  for (const model::Linear* linear : linears) {
    const auto peak = PeakOf(linear->input(model.compute()).type, limits);
    const int64_t these = linear == linears.back() ? head_rows : rows;
    const double operations =
        2.0 * static_cast<double>(these) * static_cast<double>(linear->n() * linear->k());
    if (peak) seconds += operations / *peak;
  }
  return seconds;
}

core::Status CheckFraction(double fraction, std::string_view what) {
  if (fraction <= kHighestFraction) return {};
  return core::Exhausted(
      fmt::format("{} ran at {:.2f} of the machine's limit: something else kept the machine busy "
                  "while its limit was measured; run again on a quiet machine",
                  what, fraction));
}

// `limits` with those peaks that the model's layers use measured once more, now.
kernels::MachineLimits MeasurePeaks(engine::Engine& engine, kernels::MachineLimits limits) {
  std::set<kernels::InputType> used;
  for (const model::Linear* linear : engine.model().linears())
    used.insert(linear->input(engine.model().compute()).type);
  for (const kernels::InputType type : used) {
    // 24 bits are products of int8 too.
    const bool codes = type == kernels::InputType::kI8 || type == kernels::InputType::kI24;
    const auto peak =
        kernels::PeakOpsPerSecond(codes ? kernels::InputType::kI8 : type, engine.pool());
    if (!peak) continue;
    if (codes) limits.int8_ops_per_s = peak;
    if (type == kernels::InputType::kBf16) limits.bf16_ops_per_s = peak;
    if (type == kernels::InputType::kF32) limits.f32_ops_per_s = *peak;
  }
  return limits;
}

struct PrefillRound {
  double seconds;
  double linear_seconds;
  double attention_seconds;
  double limit_seconds;  // 0: not measured
};

// The machine's peak is taken right before and right after, the shorter time of both: what slows
// the machine down for a while slows down the round and its limit.
Result<PrefillRound> OnePrefill(engine::Engine& engine, const SpeedOptions& options,
                                const std::optional<kernels::MachineLimits>& limits) {
  const int64_t rows = options.prefill * options.prompts;
  PrefillRound out = {};
  const auto limit_seconds = [&] {
    return LinearLimitSeconds(engine, rows, options.prompts, MeasurePeaks(engine, *limits));
  };
  if (limits) out.limit_seconds = limit_seconds();
  engine.model().ResetProfile();
  OCTAVO_TRY(out.seconds, PrefillSeconds(engine, options.prefill, options.prompts));
  out.linear_seconds = engine.model().profile().linear_seconds;
  out.attention_seconds = engine.model().profile().attention_seconds;
  if (limits) out.limit_seconds = std::min(out.limit_seconds, limit_seconds());
  return out;
}

Result<Json> MeasurePrefill(engine::Engine& engine, const SpeedOptions& options,
                            const std::optional<kernels::MachineLimits>& limits,
                            const core::CancelToken& cancel) {
  OCTAVO_TRY(const std::vector<PrefillRound> rounds,
             Rounds<PrefillRound>(cancel, [&] { return OnePrefill(engine, options, limits); }));
  const double seconds = MedianOf(rounds, [](const PrefillRound& r) { return r.seconds; });
  Json fraction;
  Json linear_fraction;
  if (limits) {
    fraction = MedianOf(rounds, [](const PrefillRound& r) { return r.limit_seconds / r.seconds; });
    linear_fraction =
        MedianOf(rounds, [](const PrefillRound& r) { return r.limit_seconds / r.linear_seconds; });
    OCTAVO_RETURN_IF_ERROR(CheckFraction(linear_fraction.get<double>(), "prefill"));
  }
  Json out = {{"tokens", options.prefill},
              {"prompts", options.prompts},
              {"tokens_per_s", static_cast<double>(options.prefill * options.prompts) / seconds},
              {"fraction_of_limit", fraction},
              {"linear_fraction_of_peak", linear_fraction}};
  PutShares(rounds, out);
  return out;
}

Result<Json> MeasureDecode(engine::Engine& engine, const SpeedOptions& options, int64_t batch,
                           const std::optional<kernels::MachineLimits>& limits,
                           const core::CancelToken& cancel) {
  // On average a step reads what stands in the middle of the written tokens.
  const double positions =
      static_cast<double>(batch) *
      (static_cast<double>(options.context) + static_cast<double>(options.decode + 1) / 2);
  const double bytes = static_cast<double>(engine.model().step_bytes()) +
                       positions * static_cast<double>(engine.kv_bytes_per_token());
  std::optional<kernels::MemoryReader> reader;
  if (limits) {
    reader = kernels::MemoryReader::Make(static_cast<uint64_t>(bytes), engine.pool());
    if (!reader) return core::Exhausted("no memory to measure how fast this machine reads");
  }
  // As in OnePrefill: reading is timed right before and right after, and the faster of both counts.
  const auto one_round = [&]() -> Result<DecodeRound> {
    const double before = reader ? reader->BytesPerSecond(engine.pool()) : 0;
    OCTAVO_TRY(DecodeRound round, OneDecode(engine, batch, options.context, options.decode));
    if (reader) round.read_bytes_per_s = std::max(before, reader->BytesPerSecond(engine.pool()));
    return round;
  };
  OCTAVO_TRY(const std::vector<DecodeRound> rounds, Rounds<DecodeRound>(cancel, one_round));
  const double seconds = MedianOf(rounds, [](const DecodeRound& r) { return r.seconds; });
  const double tokens_per_s = static_cast<double>(batch * options.decode) / seconds;
  Json out = {{"batch", batch},
              {"context", options.context},
              {"tokens_per_s", tokens_per_s},
              {"bytes_per_step", static_cast<int64_t>(bytes)},
              {"read_gb_per_s", nullptr},
              {"fraction_of_limit", nullptr}};
  PutShares(rounds, out);
  if (!limits) return out;
  const double read_bytes = bytes * static_cast<double>(options.decode);  // of a round
  const double fraction = MedianOf(
      rounds, [&](const DecodeRound& r) { return read_bytes / (r.seconds * r.read_bytes_per_s); });
  OCTAVO_RETURN_IF_ERROR(CheckFraction(fraction, fmt::format("decode of batch {}", batch)));
  out["read_gb_per_s"] =
      MedianOf(rounds, [](const DecodeRound& r) { return r.read_bytes_per_s; }) / 1e9;
  out["fraction_of_limit"] = fraction;
  return out;
}

}  // namespace

int64_t KvTokensFor(const SpeedOptions& options) {
  const int64_t batch = *std::max_element(options.batches.begin(), options.batches.end());
  return std::max(options.prompts * KvTokensFor(std::max<int64_t>(options.prefill, 1)),
                  batch * KvTokensFor(options.context + options.decode));
}

Result<Json> MeasureSpeed(engine::Engine& engine, const SpeedOptions& options,
                          const std::optional<kernels::MachineLimits>& limits,
                          core::Progress& progress, const core::CancelToken& cancel) {
  progress.Begin("bench", static_cast<int64_t>(options.batches.size()) + 1, "measurements");
  Json prefill = Json::array();
  Json decode = Json::array();
  if (options.prefill > 0) {
    OCTAVO_TRY(Json figure, MeasurePrefill(engine, options, limits, cancel));
    prefill.push_back(std::move(figure));
  }
  progress.Advance(1);
  for (const int64_t batch : options.batches) {
    OCTAVO_TRY(Json figure, MeasureDecode(engine, options, batch, limits, cancel));
    decode.push_back(std::move(figure));
    progress.Advance(1);
  }
  progress.End();
  return Json{{"prefill", std::move(prefill)}, {"decode", std::move(decode)}};
}

}  // namespace octavo::cli
