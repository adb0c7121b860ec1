#include "engine/generation.h"

#include <algorithm>

namespace octavo::engine {

Generation::Generation(Engine& engine, GenerationRequest request)
    : engine_(engine),
      request_(std::move(request)),
      sequence_(engine.NewSequence()),
      sampler_(request_.sampling),
      stops_(request_.sampling.stop) {
  if (engine.tokenizer() != nullptr) decoder_.emplace(*engine.tokenizer());
}

std::span<const TokenId> Generation::NextTokens(int64_t limit) const {
  if (!prefilling()) return {&last_, 1};
  const std::span<const TokenId> rest =
      std::span(request_.prompt).subspan(static_cast<size_t>(prompt_done_));
  return rest.first(std::min(rest.size(), static_cast<size_t>(limit)));
}

core::Status Generation::Accept(int64_t count, std::span<const float> logits) {
  if (prefilling()) {
    prompt_done_ += count;
    if (prefilling()) return {};
    if (request_.sampling.max_tokens == 0) {
      End(FinishReason::kLength, "");
      return {};
    }
  }
  const TokenId id = sampler_.Sample(logits);
  return Sampled(id, request_.logprobs ? LogProbability(logits, id) : 0);
}

core::Status Generation::Sampled(TokenId id, double logprob) {
  const SamplingOptions& sampling = request_.sampling;
  const auto& eos = engine_.config().eos_ids;
  GenerationEvent event;
  last_ = id;
  if (!sampling.ignore_eos && std::find(eos.begin(), eos.end(), id) != eos.end()) {
    End(FinishReason::kStop, "");
    return {};
  }
  event.tokens.push_back(id);
  if (request_.logprobs) event.logprobs.push_back(logprob);
  ++generated_;
  if (decoder_) {
    OCTAVO_TRY(const std::string text, decoder_->Push(id));
    event.text = stops_.Push(text);
  }
  if (stops_.stopped()) {
    event.finish = FinishReason::kStop;
  } else if (generated_ >= sampling.max_tokens || sequence_.length() >= engine_.config().context) {
    event.finish = FinishReason::kLength;
    if (decoder_) {
      OCTAVO_TRY(const std::string rest, decoder_->Finish());
      event.text += stops_.Push(rest) + stops_.Finish();
    }
  }
  Emit(std::move(event));
  return {};
}

void Generation::End(FinishReason reason, std::string error) {
  if (finished_) return;
  GenerationEvent event;
  event.finish = reason;
  event.error = std::move(error);
  if (decoder_ && reason != FinishReason::kError) {
    const auto rest = decoder_->Finish();
    if (rest.ok()) event.text = stops_.Push(rest.value()) + stops_.Finish();
  }
  Emit(std::move(event));
}

void Generation::Emit(GenerationEvent event) {
  finished_ = event.finish != FinishReason::kNone;
  if (finished_)
    sequence_ = engine_.NewSequence();  // gives the KV blocks back now, not when the object goes
  if (request_.on_event) request_.on_event(std::move(event));
}

}  // namespace octavo::engine
