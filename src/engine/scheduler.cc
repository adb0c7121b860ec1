#include "engine/scheduler.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <list>
#include <mutex>
#include <thread>
#include <unordered_set>

#include "core/log.h"
#include "engine/generation.h"

namespace octavo::engine {
namespace {

struct Running {
  RequestId id;
  Generation generation;
  int64_t reserved_blocks;  // KV blocks that it may still take, kept free for it
};

int64_t BlocksOf(int64_t tokens) {
  return (tokens + model::kKvBlockPositions - 1) / model::kKvBlockPositions;
}

// Positions of KV memory that a request may hold at most at a time.
int64_t MostTokens(const Engine& engine, const GenerationRequest& request) {
  return engine.MostKvTokens(
      std::min(static_cast<int64_t>(request.prompt.size()) + request.sampling.max_tokens,
               engine.config().context));
}

}  // namespace

struct Scheduler::State {
  Engine& engine;
  const SchedulerOptions options;
  mutable std::mutex mutex;
  std::condition_variable wake;
  std::deque<std::pair<RequestId, GenerationRequest>> waiting;  // guarded by mutex, as all below
  std::unordered_set<RequestId> cancelled;
  std::unordered_set<RequestId> live;
  SchedulerStats stats;
  RequestId next_id = 1;
  bool stopping = false;
  std::list<Running> running;  // the scheduler's thread only
  int64_t total_blocks;
  std::thread thread;

  State(Engine& e, const SchedulerOptions& o)
      : engine(e), options(o), total_blocks(BlocksOf(e.free_kv_tokens())) {}
  void Run();
  void Admit();
  void EndCancelled();
  void Turn();
  void Retire();
};

Scheduler::Scheduler(Engine& engine, const SchedulerOptions& options)
    : state_(std::make_unique<State>(engine, options)) {
  state_->stats.free_kv_tokens = engine.free_kv_tokens();
  state_->thread = std::thread([s = state_.get()] { s->Run(); });
}

Scheduler::~Scheduler() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->stopping = true;
  }
  state_->wake.notify_all();
  state_->thread.join();
}

core::Result<RequestId> Scheduler::Submit(GenerationRequest request) {
  const auto prompt = static_cast<int64_t>(request.prompt.size());
  const int64_t context = state_->engine.config().context;
  OCTAVO_RETURN_IF_ERROR(Validate(request.sampling));
  if (prompt == 0) return core::Invalid("the prompt is empty");
  if (prompt >= context) {
    return core::Invalid("This model's maximum context length is " + std::to_string(context) +
                         " tokens. However, your prompt has " + std::to_string(prompt) +
                         " tokens. Please reduce the length of the prompt.");
  }
  for (const TokenId id : request.prompt) {
    if (id < 0 || id >= state_->engine.config().vocab_size) {
      return core::Invalid("token id " + std::to_string(id) + " is outside the vocabulary");
    }
  }
  if (BlocksOf(MostTokens(state_->engine, request)) > state_->total_blocks) {
    return core::Invalid("prompt and max_tokens need " +
                         std::to_string(MostTokens(state_->engine, request)) +
                         " positions of KV memory; this server has " +
                         std::to_string(state_->total_blocks * model::kKvBlockPositions));
  }
  const std::lock_guard lock(state_->mutex);
  if (static_cast<int64_t>(state_->waiting.size()) >= state_->options.max_waiting) {
    return core::Exhausted("the queue of " + std::to_string(state_->options.max_waiting) +
                           " waiting requests is full");
  }
  const RequestId id = state_->next_id++;
  state_->waiting.emplace_back(id, std::move(request));
  state_->live.insert(id);
  state_->stats.waiting = static_cast<int64_t>(state_->waiting.size());
  state_->wake.notify_all();
  return id;
}

void Scheduler::Cancel(RequestId id) {
  const std::lock_guard lock(state_->mutex);
  if (state_->live.count(id) != 0) state_->cancelled.insert(id);
  state_->wake.notify_all();
}

SchedulerStats Scheduler::stats() const {
  const std::lock_guard lock(state_->mutex);
  return state_->stats;
}

void Scheduler::State::Run() {
  while (true) {
    {
      std::unique_lock lock(mutex);
      wake.wait(lock, [&] {
        return stopping || !waiting.empty() || !running.empty() || !cancelled.empty();
      });
      if (stopping) {
        for (const auto& [id, request] : waiting) cancelled.insert(id);
        for (const Running& r : running) cancelled.insert(r.id);
      }
    }
    EndCancelled();
    {
      const std::lock_guard lock(mutex);
      if (stopping) return;
      Admit();
    }
    if (!running.empty()) Turn();
    Retire();
  }
}

// With the mutex held: starts waiting requests while there is a seat and KV memory for all that
// each may ever take, first come first served.
void Scheduler::State::Admit() {
  int64_t reserved = 0;
  for (const Running& r : running) reserved += r.reserved_blocks;
  while (!waiting.empty() && static_cast<int64_t>(running.size()) < options.max_batch) {
    const int64_t blocks = BlocksOf(MostTokens(engine, waiting.front().second));
    if (reserved + blocks > total_blocks) break;
    reserved += blocks;
    running.push_back(
        {waiting.front().first, Generation(engine, std::move(waiting.front().second)), blocks});
    waiting.pop_front();
  }
  stats.waiting = static_cast<int64_t>(waiting.size());
  stats.running = static_cast<int64_t>(running.size());
}

void Scheduler::State::EndCancelled() {
  std::unordered_set<RequestId> ids;
  std::vector<GenerationRequest> dropped;
  {
    const std::lock_guard lock(mutex);
    ids.swap(cancelled);
    for (auto it = waiting.begin(); it != waiting.end();) {
      if (ids.count(it->first) == 0) {
        ++it;
        continue;
      }
      live.erase(it->first);
      dropped.push_back(std::move(it->second));
      it = waiting.erase(it);
    }
  }
  for (Running& r : running) {
    if (ids.count(r.id) != 0) r.generation.End(FinishReason::kCancelled, "");
  }
  // Listeners are called outside the lock, because they may call Submit or Cancel.
  for (const GenerationRequest& request : dropped) {
    GenerationEvent event;
    event.finish = FinishReason::kCancelled;
    if (request.on_event) request.on_event(std::move(event));
  }
  Retire();
}

// One forward pass: a token of every sequence that is past its prompt, and up to prefill_chunk
// prompt tokens.
void Scheduler::State::Turn() {
  std::vector<Step> steps;
  std::vector<Running*> who;
  int64_t room = options.prefill_chunk;
  for (Running& r : running) {
    if (r.generation.prefilling() && room == 0) continue;
    const auto tokens = r.generation.NextTokens(room);
    if (r.generation.prefilling()) room -= static_cast<int64_t>(tokens.size());
    steps.push_back({&r.generation.sequence(), tokens, static_cast<int64_t>(tokens.size()) - 1});
    who.push_back(&r);
  }
  const auto logits = engine.Forward(steps);
  const auto vocab = static_cast<size_t>(engine.config().vocab_size);
  int64_t prompt_tokens = 0;
  int64_t generated = 0;
  for (size_t i = 0; i < who.size(); ++i) {
    Generation& generation = who[i]->generation;
    core::Status status;
    if (logits.ok()) {
      const bool prefill = generation.prefilling();
      const auto count = static_cast<int64_t>(steps[i].tokens.size());
      (prefill ? prompt_tokens : generated) += count;
      status = generation.Accept(count, logits.value().subspan(i * vocab, vocab));
    } else {
      status = logits.error();
    }
    if (!status.ok()) {
      core::LogError("request " + std::to_string(who[i]->id) + ": " + status.error().message());
      generation.End(FinishReason::kError, status.error().message());
    }
  }
  const std::lock_guard lock(mutex);
  stats.prompt_tokens_total += prompt_tokens;
  stats.generated_tokens_total += generated;
}

void Scheduler::State::Retire() {
  const std::lock_guard lock(mutex);
  for (auto it = running.begin(); it != running.end();) {
    if (!it->generation.finished()) {
      ++it;
      continue;
    }
    live.erase(it->id);
    cancelled.erase(it->id);
    it = running.erase(it);
  }
  stats.running = static_cast<int64_t>(running.size());
  stats.waiting = static_cast<int64_t>(waiting.size());
  stats.free_kv_tokens = engine.free_kv_tokens();
}

core::Status Generate(Engine& engine, const GenerationRequest& request,
                      const core::CancelToken& cancel) {
  OCTAVO_RETURN_IF_ERROR(Validate(request.sampling));
  if (request.prompt.empty()) return core::Invalid("the prompt is empty");
  Generation generation(engine, request);
  while (!generation.finished()) {
    OCTAVO_RETURN_IF_ERROR(cancel.Check());
    const auto tokens = generation.NextTokens(512);
    const auto count = static_cast<int64_t>(tokens.size());
    const Step step{&generation.sequence(), tokens, count - 1};
    OCTAVO_TRY(const auto logits, engine.Forward({&step, 1}));
    OCTAVO_RETURN_IF_ERROR(generation.Accept(count, logits));
  }
  return {};
}

}  // namespace octavo::engine
