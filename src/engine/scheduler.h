// The scheduler: many generation requests share one engine; each turn runs one token of every
// running sequence together with pieces of waiting prompts.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "engine/sampling.h"

namespace octavo::engine {

enum class FinishReason : uint8_t { kNone, kStop, kLength, kCancelled, kError };

// One step of one request, as the listener sees it.
struct GenerationEvent {
  std::vector<TokenId>
      tokens;  // new ids (at most one today); the end-of-text id itself is not among them
  std::vector<double> logprobs;  // one for each of `tokens` when asked for
  std::string text;  // the text that became final; may lag behind the ids, never splits a character
  FinishReason finish = FinishReason::kNone;  // set on the last event of a request
  std::string error;                          // when finish is kError
};

struct GenerationRequest {
  std::vector<TokenId> prompt;  // not empty
  SamplingOptions sampling;
  bool logprobs = false;
  // Called on the scheduler's thread, in order; must return fast and not throw. The event with
  // `finish` set is the last.
  std::function<void(GenerationEvent&&)> on_event;
};

struct SchedulerOptions {
  int64_t max_batch = 16;       // sequences that run together
  int64_t max_waiting = 256;    // requests that wait beyond those
  int64_t prefill_chunk = 512;  // prompt tokens a turn takes at most
};

struct SchedulerStats {
  int64_t running = 0;
  int64_t waiting = 0;
  int64_t free_kv_tokens = 0;
  int64_t prompt_tokens_total = 0;
  int64_t generated_tokens_total = 0;
};

using RequestId = int64_t;

// Owns one thread. All methods are thread-safe. Destruction cancels what runs and joins.
class Scheduler {
 public:
  Scheduler(Engine& engine, const SchedulerOptions& options);
  ~Scheduler();

  // Invalid (with the OpenAI wording on too long a prompt) when the request can never run;
  // Exhausted when the queue is full.
  core::Result<RequestId> Submit(GenerationRequest request);
  // The request ends with kCancelled within one turn, and its KV memory is free; nothing if it has
  // ended already.
  void Cancel(RequestId id);
  SchedulerStats stats() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// One request from prompt to end on an engine that nobody else uses: what `octavo generate` and
// `eval` need.
core::Status Generate(Engine& engine, const GenerationRequest& request,
                      const core::CancelToken& cancel);

}  // namespace octavo::engine
