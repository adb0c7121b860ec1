#include "engine/scheduler.h"

#include <atomic>
#include <condition_variable>
#include <mutex>

#include <gtest/gtest.h>

#include "engine/fixture.h"

namespace octavo::engine {
namespace {

// Collects the events of one request and lets a test wait for its end.
class Listener {
 public:
  std::function<void(GenerationEvent&&)> Callback() {
    return [this](GenerationEvent&& event) {
      const std::lock_guard lock(mutex_);
      tokens_.insert(tokens_.end(), event.tokens.begin(), event.tokens.end());
      if (event.finish != FinishReason::kNone) finish_ = event.finish;
      changed_.notify_all();
    };
  }
  // The same, and from the second token on whoever brings one waits until `open` is set.
  std::function<void(GenerationEvent&&)> HeldCallback(std::atomic<bool>& open) {
    return [this, &open, note = Callback()](GenerationEvent&& event) {
      note(std::move(event));
      if (tokens().size() >= 2) open.wait(false);
    };
  }
  FinishReason WaitForEnd() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return finish_ != FinishReason::kNone; });
    return finish_;
  }
  void WaitForTokens(size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return tokens_.size() >= count || finish_ != FinishReason::kNone; });
  }
  std::vector<TokenId> tokens() {
    const std::lock_guard lock(mutex_);
    return tokens_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<TokenId> tokens_;
  FinishReason finish_ = FinishReason::kNone;
};

GenerationRequest Request(std::vector<TokenId> prompt, int64_t max_tokens, Listener& listener) {
  GenerationRequest out;
  out.prompt = std::move(prompt);
  out.sampling.max_tokens = max_tokens;
  out.sampling.ignore_eos = true;
  out.on_event = listener.Callback();
  return out;
}

TEST(Scheduler, TokensAreTheSameAloneAndTogether) {
  const auto engine = LoadFixture("llama");
  ASSERT_NE(engine, nullptr);
  const auto prompts = FixtureTokens("llama");
  std::vector<std::vector<TokenId>> alone;
  for (const auto& prompt : prompts) {
    Listener listener;
    ASSERT_TRUE(Generate(*engine, Request(prompt, 40, listener), core::CancelToken()).ok());
    alone.push_back(listener.tokens());
    EXPECT_EQ(alone.back().size(), 40U);
  }
  SchedulerOptions options;
  options.max_batch = 2;
  options.prefill_chunk = 10;
  Scheduler scheduler(*engine, options);
  std::vector<std::unique_ptr<Listener>> listeners;
  for (size_t i = 0; i < 9; ++i) {
    listeners.push_back(std::make_unique<Listener>());
    ASSERT_TRUE(scheduler.Submit(Request(prompts[i % 3], 40, *listeners.back())).ok());
  }
  for (size_t i = 0; i < 9; ++i) {
    EXPECT_EQ(listeners[i]->WaitForEnd(), FinishReason::kLength);
    EXPECT_EQ(listeners[i]->tokens(), alone[i % 3]);
  }
}

TEST(Scheduler, ACancelledRequestEndsAndGivesItsMemoryBack) {
  const auto engine = LoadFixture("llama");
  ASSERT_NE(engine, nullptr);
  const int64_t all = engine->free_kv_tokens();
  {
    SchedulerOptions options;
    options.max_batch = 1;
    Listener first;
    Listener queued;
    std::atomic<bool> open{false};
    Scheduler scheduler(*engine, options);  // its thread still uses them while it ends
    GenerationRequest running = Request({1, 2, 3}, 250, first);
    running.on_event = first.HeldCallback(open);
    const auto id = scheduler.Submit(std::move(running)).value();
    const auto waiting = scheduler.Submit(Request({1, 2, 3}, 250, queued)).value();
    first.WaitForTokens(2);
    scheduler.Cancel(waiting);
    open = true;
    open.notify_all();
    EXPECT_EQ(queued.WaitForEnd(), FinishReason::kCancelled);
    EXPECT_TRUE(queued.tokens().empty());
    scheduler.Cancel(id);
    const FinishReason end = first.WaitForEnd();
    EXPECT_TRUE(end == FinishReason::kCancelled || end == FinishReason::kLength);
    scheduler.Cancel(12345);
  }
  EXPECT_EQ(engine->free_kv_tokens(), all);
}

TEST(Scheduler, RefusesWhatCanNeverRunAndAFullQueue) {
  EngineOptions small;
  small.kv_tokens = 128;
  const auto engine = LoadFixture("llama", small);
  ASSERT_NE(engine, nullptr);
  SchedulerOptions options;
  options.max_waiting = 0;
  Scheduler scheduler(*engine, options);
  Listener listener;
  const auto refusal = [&](std::vector<TokenId> prompt, int64_t max_tokens) {
    const auto id = scheduler.Submit(Request(std::move(prompt), max_tokens, listener));
    EXPECT_FALSE(id.ok());
    return id.ok() ? core::Invalid("accepted") : id.error();
  };
  EXPECT_NE(refusal({}, 5).message().find("empty"), std::string::npos);
  EXPECT_NE(refusal(std::vector<TokenId>(256, 1), 5).message().find("maximum context length"),
            std::string::npos);
  EXPECT_NE(refusal({320}, 5).message().find("vocabulary"), std::string::npos);
  EXPECT_NE(refusal({1}, 200).message().find("KV memory"), std::string::npos);
  EXPECT_EQ(refusal({1}, 5).code(), core::ErrorCode::kExhausted);
}

TEST(Scheduler, DestructionEndsEveryRequest) {
  const auto engine = LoadFixture("llama");
  ASSERT_NE(engine, nullptr);
  std::vector<std::unique_ptr<Listener>> listeners;
  {
    Scheduler scheduler(*engine, {});
    for (int i = 0; i < 20; ++i) {
      listeners.push_back(std::make_unique<Listener>());
      ASSERT_TRUE(scheduler.Submit(Request({5, 6}, 200, *listeners.back())).ok());
    }
  }
  for (auto& listener : listeners) EXPECT_NE(listener->WaitForEnd(), FinishReason::kNone);
}

}  // namespace
}  // namespace octavo::engine
