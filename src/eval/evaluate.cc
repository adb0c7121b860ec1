// The order of an evaluation: digests, memory one model at a time, then both models loaded for
// quality, then speed; or both models block by block.
#include "eval/evaluate.h"

#include <algorithm>
#include <future>
#include <memory>
#include <set>

#include <fmt/format.h>

#include "core/bytes.h"
#include "core/file.h"
#include "core/host.h"
#include "eval/document.h"
#include "eval/generations.h"
#include "eval/measure.h"
#include "eval/streamed_scores.h"
#include "eval/text_scores.h"
#include "format/manifest.h"
#include "format/model_folder.h"
#include "stats/quantile.h"

namespace octavo::eval {
namespace {

using core::Invalid;
using core::Json;
using core::Result;
using core::Status;
using engine::Engine;
using engine::EngineOptions;
using engine::TokenId;

constexpr int64_t kLeastKvTokens = 4096;

// KV memory for the longest window or a prompt and its answer; it is touched only as far as it is
// used.
int64_t KvTokens(const Suite& suite) {
  int64_t tokens = kLeastKvTokens;
  for (const TextSpec& text : suite.texts) tokens = std::max(tokens, text.context);
  for (const PromptsSpec& prompts : suite.prompts) {
    tokens = std::max(tokens, kLeastKvTokens + prompts.max_tokens);
  }
  return tokens;
}

std::string ComputeName(model::Compute compute) {
  return compute == model::Compute::kBF16 ? "bf16" : "f32";
}

std::string KvName(model::KvType kv) {
  return fmt::format("kv{}", model::KvBits(kv));
}

// The instruction sets that the candidate's linear layers really ran, joined by '+'.
std::string IsaNames(const Engine& engine) {
  std::set<std::string> names;
  for (const model::Linear* linear : engine.model().linears()) {
    if (linear->calls() > 0) names.insert(linear->isa());
  }
  return fmt::format("{}", fmt::join(names, "+"));
}

Status RequireTokenizer(const text::Tokenizer* tokenizer, const std::string& dir) {
  if (tokenizer != nullptr) return {};
  return core::NotFound(
      fmt::format("{}: has no tokenizer.json, which texts and prompts need", dir));
}

// Both models with their activations, roughly: what is packed takes as much as the file.
Result<int64_t> MemoryNeed(const std::string& candidate,
                           const std::optional<std::string>& baseline) {
  constexpr int64_t kWorking = int64_t{512} << 20;
  OCTAVO_TRY(const auto folder, format::ModelFolder::Open(candidate));
  int64_t bytes = folder.weights_bytes() + kWorking;
  if (!baseline) return bytes;
  OCTAVO_TRY(const auto other, format::ModelFolder::Open(*baseline));
  return bytes + other.weights_bytes();
}

// The ids of a text, as far as its windows go, the same for both tokenizers.
Result<std::vector<TokenId>> Tokenize(const text::Tokenizer* baseline,
                                      const text::Tokenizer& candidate, const TextSpec& spec) {
  const std::string& file = spec.file;
  OCTAVO_TRY(const std::string content, core::ReadFile(file));
  if (!core::IsUtf8(content)) return Invalid(fmt::format("{}: is not UTF-8 text", file));
  const auto encode = [&](const text::Tokenizer& tokenizer) {
    if (spec.chunks <= 0) return tokenizer.Encode(content, false).Context(file);
    // No text has more tokens than bytes.
    const int64_t windows =
        std::min(spec.chunks, static_cast<int64_t>(content.size()) / spec.context + 1);
    return tokenizer.EncodeStart(content, static_cast<size_t>(windows * spec.context))
        .Context(file);
  };
  OCTAVO_TRY(std::vector<TokenId> ids, encode(candidate));
  if (baseline != nullptr && !baseline->SameFile(candidate)) {
    OCTAVO_TRY(const auto expected, encode(*baseline));
    if (ids != expected) {
      return Invalid(
          fmt::format("{}: the tokenizers of candidate and baseline cut it differently, so the "
                      "models cannot be "
                      "compared token by token",
                      file));
    }
  }
  return ids;
}

// Entries of `perplexity` and `divergence` for one text; none when nothing of it was scored.
void PutText(const TextSpec& spec, TextScores& scores, bool has_baseline, Json& document) {
  if (scores.windows == 0) return;
  const double confidence = 0.95;
  Json perplexity = {{"name", spec.name},
                     {"tokens", scores.tokens},
                     {"windows", scores.windows},
                     {"context", spec.context},
                     {"score", std::string(ScoreName(spec.score))}};
  perplexity["baseline"] =
      has_baseline ? Json(stats::Exp(scores.baseline_nll.Mean(confidence)).value) : Json();
  PutEstimate(perplexity, "candidate", stats::Exp(scores.candidate_nll.Mean(confidence)));
  if (has_baseline) {
    PutEstimate(perplexity, "ratio", stats::Exp(scores.nll_difference.Mean(confidence)));
  } else {
    perplexity["ratio"] = nullptr;
    perplexity["ratio_ci95"] = nullptr;
  }
  document["perplexity"].push_back(std::move(perplexity));
  if (!has_baseline) return;

  Json divergence = {{"name", spec.name}, {"tokens", scores.tokens}, {"windows", scores.windows}};
  PutEstimate(divergence, "mean_kld", scores.kld.Mean(confidence));
  divergence["p99_kld"] = stats::Quantile(scores.klds, 0.99);
  divergence["p999_kld"] = stats::Quantile(scores.klds, 0.999);
  divergence["max_kld"] = stats::Quantile(scores.klds, 1);
  PutEstimate(divergence, "same_top", scores.same_top.Mean(confidence));
  document["divergence"].push_back(std::move(divergence));
}

// One run of Evaluate.
class Evaluation {
 public:
  Evaluation(const std::string& candidate_dir, const std::optional<std::string>& baseline_dir,
             const Suite& suite, const EvalOptions& options, core::Progress& progress,
             const core::CancelToken& cancel)
      : candidate_dir_(candidate_dir),
        baseline_dir_(baseline_dir),
        suite_(suite),
        options_(options),
        progress_(progress),
        cancel_(cancel) {}

  Result<Json> Run() {
    OCTAVO_RETURN_IF_ERROR(Validate(suite_));
    OCTAVO_RETURN_IF_ERROR(PutDigests());
    OCTAVO_TRY(const bool stream, MustStream());
    if (stream) {
      OCTAVO_RETURN_IF_ERROR(RunStreamed());
      return std::move(document_);
    }
    if (suite_.memory) OCTAVO_RETURN_IF_ERROR(PutMemory());
    if (cancel_.cancelled()) return std::move(document_);
    OCTAVO_TRY(candidate_, Engine::Load(candidate_dir_, CandidateOptions()));
    if (baseline_dir_) {
      OCTAVO_TRY(baseline_, Engine::Load(*baseline_dir_, BaselineOptions()));
    }
    OCTAVO_RETURN_IF_ERROR(PutTexts());
    OCTAVO_RETURN_IF_ERROR(PutGenerations());
    if (suite_.speed && !cancel_.cancelled()) OCTAVO_RETURN_IF_ERROR(PutSpeed());
    document_["runtime"]["isa"] = IsaNames(*candidate_);
    document_["complete"] = complete_ && !cancel_.cancelled();
    return std::move(document_);
  }

 private:
  EngineOptions CandidateOptions() const {
    return {options_.threads, options_.compute, options_.kv, KvTokens(suite_)};
  }
  EngineOptions BaselineOptions() const {
    EngineOptions exact = CandidateOptions();
    exact.compute = model::Compute::kF32;
    exact.kv = model::KvType::kF32;
    return exact;
  }

  Status PutDigests() {
    document_ = NewDocument();
    document_["complete"] = false;
    // Both folders side by side: nothing else runs yet.
    const auto digest = [](const std::string& dir) { return format::FolderDigest(dir); };
    std::future<Result<std::string>> baseline;
    if (baseline_dir_) baseline = std::async(digest, *baseline_dir_);
    OCTAVO_TRY(document_["candidate_digest"], digest(candidate_dir_));
    document_["baseline_digest"] = nullptr;
    if (baseline.valid()) {
      OCTAVO_TRY(document_["baseline_digest"], baseline.get());
    }
    OCTAVO_TRY(document_["suite_digest"], SuiteDigest(suite_));
    document_["runtime"] = {{"version", std::string(core::kVersion)},
                            {"cpu", core::CpuName()},
                            {"isa", nullptr},
                            {"threads", nullptr},
                            {"compute", ComputeName(options_.compute)},
                            {"kv", KvName(options_.kv)},
                            {"baseline_compute", baseline_dir_ ? Json("f32") : Json()},
                            {"baseline_kv", baseline_dir_ ? Json("kv32") : Json()}};
    for (const char* list : {"perplexity", "divergence", "tasks", "generations"}) {
      document_[list] = Json::array();
    }
    document_["speed"] = nullptr;
    document_["memory"] = nullptr;
    return {};
  }

  // Prompts are answered by models in memory.
  Result<bool> MustStream() const {
    if (options_.stream && suite_.prompts.empty()) return true;
    if (options_.stream) {
      return core::Usage("models that run block by block answer no prompts: leave them out");
    }
    OCTAVO_TRY(const int64_t need, MemoryNeed(candidate_dir_, baseline_dir_));
    const auto available = core::AvailableMemoryBytes();
    if (!available || static_cast<uint64_t>(need) <= *available) return false;
    const std::string why =
        fmt::format("the models need some {:.1f} GB of memory together, {:.1f} GB are available",
                    static_cast<double>(need) / 1e9, static_cast<double>(*available) / 1e9);
    if (!suite_.prompts.empty())
      return Invalid(why + ": without prompts they would run block by block");
    progress_.Note(why);
    return true;
  }

  Status RunStreamed() {
    if (suite_.speed) progress_.Note("speed is left out: no model is in memory as a whole");
    core::ThreadPool pool(options_.threads);
    document_["runtime"]["threads"] = pool.size();
    OCTAVO_TRY(auto candidate,
               engine::StreamedModel::Open(candidate_dir_, options_.compute, options_.kv, pool));
    OCTAVO_RETURN_IF_ERROR(RequireTokenizer(candidate.tokenizer(), candidate_dir_));
    std::optional<engine::StreamedModel> baseline;
    if (baseline_dir_) {
      OCTAVO_TRY(baseline, engine::StreamedModel::Open(*baseline_dir_, model::Compute::kF32,
                                                       model::KvType::kF32, pool));
      OCTAVO_RETURN_IF_ERROR(RequireTokenizer(baseline->tokenizer(), *baseline_dir_));
    }
    std::vector<StreamedText> texts;
    for (const TextSpec& spec : suite_.texts) {
      OCTAVO_TRY(std::vector<TokenId> ids, Tokenize(baseline ? baseline->tokenizer() : nullptr,
                                                    *candidate.tokenizer(), spec));
      texts.push_back({&spec, std::move(ids)});
    }
    OCTAVO_TRY(std::vector<TextScores> scores,
               ScoreTextsStreamed(baseline ? &*baseline : nullptr, candidate, texts,
                                  options_.hidden, pool, progress_, cancel_));
    for (size_t i = 0; i < texts.size(); ++i) {
      complete_ = complete_ && scores[i].complete;
      PutText(*texts[i].spec, scores[i], baseline_dir_.has_value(), document_);
    }
    document_["complete"] = complete_ && !cancel_.cancelled();
    if (!complete_) return {};
    document_["runtime"]["isa"] = fmt::format("{}", fmt::join(candidate.isas(), "+"));
    if (suite_.memory) {
      document_["memory"] = {{"baseline", baseline ? WeightsOnly(*baseline) : Json()},
                             {"candidate", WeightsOnly(candidate)}};
    }
    return {};
  }

  // What a whole model would keep resident; no peak of one was seen.
  static Json WeightsOnly(const engine::StreamedModel& model) {
    return {{"weights_bytes", model.weights_bytes()}, {"peak_rss_bytes", nullptr}};
  }

  Status PutMemory() {
    progress_.Begin("memory", baseline_dir_ ? 2 : 1, "models");
    Json memory = {{"baseline", nullptr}, {"candidate", nullptr}};
    if (baseline_dir_) {
      OCTAVO_TRY(memory["baseline"], MeasureMemory(*baseline_dir_, CandidateOptions()));
      progress_.Advance(1);
    }
    OCTAVO_TRY(memory["candidate"], MeasureMemory(candidate_dir_, CandidateOptions()));
    progress_.Advance(1);
    progress_.End();
    document_["memory"] = std::move(memory);
    return {};
  }

  Status PutTexts() {
    document_["runtime"]["threads"] = candidate_->threads();
    OCTAVO_RETURN_IF_ERROR(RequireTokenizer(candidate_->tokenizer(), candidate_dir_));
    if (baseline_ != nullptr)
      OCTAVO_RETURN_IF_ERROR(RequireTokenizer(baseline_->tokenizer(), *baseline_dir_));
    for (const TextSpec& spec : suite_.texts) {
      if (cancel_.cancelled()) return {};
      OCTAVO_TRY(const std::vector<TokenId> ids,
                 Tokenize(baseline_ != nullptr ? baseline_->tokenizer() : nullptr,
                          *candidate_->tokenizer(), spec));
      OCTAVO_TRY(TextScores scores,
                 ScoreText(baseline_.get(), *candidate_, spec, ids, progress_, cancel_)
                     .Context(fmt::format("text '{}'", spec.name)));
      complete_ = complete_ && scores.complete;
      PutText(spec, scores, baseline_ != nullptr, document_);
    }
    return {};
  }

  Status PutGenerations() {
    for (const PromptsSpec& spec : suite_.prompts) {
      if (cancel_.cancelled()) return {};
      const Status status = AppendGenerations(baseline_.get(), *candidate_, candidate_dir_, spec,
                                              progress_, cancel_, document_["generations"]);
      if (!status.ok() && status.error().code() != core::ErrorCode::kInterrupted) return status;
    }
    return {};
  }

  Status PutSpeed() {
    // Nobody would deploy the exact baseline: the fair opponent has the candidate's modes.
    const bool same_modes =
        options_.compute == model::Compute::kF32 && options_.kv == model::KvType::kF32;
    if (baseline_ != nullptr && !same_modes) {
      baseline_.reset();
      OCTAVO_TRY(baseline_, Engine::Load(*baseline_dir_, CandidateOptions()));
    }
    auto speed = MeasureSpeed(baseline_.get(), *candidate_, progress_, cancel_);
    if (speed.ok()) {
      document_["speed"] = std::move(speed).value();
    } else if (speed.error().code() != core::ErrorCode::kInterrupted) {
      return std::move(speed).error();
    }
    return {};
  }

  const std::string& candidate_dir_;
  const std::optional<std::string>& baseline_dir_;
  const Suite& suite_;
  const EvalOptions& options_;
  core::Progress& progress_;
  const core::CancelToken& cancel_;
  std::unique_ptr<Engine> candidate_;
  std::unique_ptr<Engine> baseline_;
  Json document_;
  bool complete_ = true;
};

}  // namespace

Result<Json> Evaluate(const std::string& candidate_dir,
                      const std::optional<std::string>& baseline_dir, const Suite& suite,
                      const EvalOptions& options, core::Progress& progress,
                      const core::CancelToken& cancel) {
  return Evaluation(candidate_dir, baseline_dir, suite, options, progress, cancel).Run();
}

}  // namespace octavo::eval
