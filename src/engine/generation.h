// One request on its way: its place in the KV memory, what is still to be read of its prompt, and
// what it has said.
#pragma once

#include <optional>
#include <span>

#include "engine/engine.h"
#include "engine/sampling.h"
#include "engine/scheduler.h"
#include "engine/stop_scanner.h"

namespace octavo::engine {

// Driven by one thread: ask NextTokens, run them, give the logits of the last one to Accept, until
// finished().
class Generation {
 public:
  Generation(Engine& engine, GenerationRequest request);

  Sequence& sequence() { return sequence_; }
  const GenerationRequest& request() const { return request_; }
  bool prefilling() const { return prompt_done_ < static_cast<int64_t>(request_.prompt.size()); }
  // At most `limit` of the tokens to run next: a piece of the prompt, or the one sampled last.
  std::span<const TokenId> NextTokens(int64_t limit) const;
  // `count` tokens of NextTokens have run; `logits` ([V]) follow the last of them, and are read
  // only at the prompt's end and after each sampled token. Calls on_event.
  core::Status Accept(int64_t count, std::span<const float> logits);
  // Ends the request early with this reason and calls on_event; nothing if it has ended.
  void End(FinishReason reason, std::string error);
  bool finished() const { return finished_; }

 private:
  core::Status Sampled(TokenId id, double logprob);
  void Emit(GenerationEvent event);

  Engine& engine_;
  GenerationRequest request_;
  Sequence sequence_;
  Sampler sampler_;
  std::optional<text::StreamDecoder> decoder_;
  StopScanner stops_;
  int64_t prompt_done_ = 0;
  int64_t generated_ = 0;
  TokenId last_ = 0;
  bool finished_ = false;
};

}  // namespace octavo::engine
