// A backend for tests of the protocol: its tokens are bytes, and it says the prompt again.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "serve/backend.h"

namespace octavo::serve {

// A prompt that contains HOLD is answered when it is cancelled, one with FAIL ends with an error,
// and one with FULL finds the queue full. Text comes when its last byte has come, so that
// characters stay whole.
class EchoBackend : public Backend {
 public:
  EchoBackend() : thread_([this] { Run(); }) {}
  ~EchoBackend() override {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }

  core::Result<std::vector<text::TokenId>> Encode(std::string_view text, bool special) override {
    std::vector<text::TokenId> ids;
    if (special) ids.push_back(kBos);
    for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
    return ids;
  }
  core::Result<std::string> RenderChat(const core::Json& messages) override {
    std::string out;
    for (const core::Json& message : messages) {
      if (message["role"] == "impossible") return core::Invalid("roles must be possible");
      const core::Json* content = core::Find(message, "content");
      out += content != nullptr && content->is_string() ? content->get<std::string>() : "(parts)";
    }
    return out;
  }
  std::string TokenText(text::TokenId id) override {
    return id < 128 ? std::string(1, static_cast<char>(id)) : "\xEF\xBF\xBD";
  }

  core::Result<engine::RequestId> Submit(engine::GenerationRequest request) override {
    std::string prompt;
    for (const text::TokenId id : request.prompt) {
      if (id == kBos) continue;
      if (id > kBos)
        return core::Invalid("token id " + std::to_string(id) + " is outside the vocabulary");
      prompt += static_cast<char>(id);
    }
    if (prompt.find("FULL") != std::string::npos)
      return core::Exhausted("the queue of 0 waiting requests is full");
    const std::lock_guard lock(mutex_);
    last_ = request;
    work_.push_back({next_id_, std::move(prompt), std::move(request)});
    changed_.notify_all();
    return next_id_++;
  }
  void Cancel(engine::RequestId id) override {
    const std::lock_guard lock(mutex_);
    cancelled_.insert(id);
    changed_.notify_all();
  }

  // Waits until that many requests in all were submitted, or cancelled.
  void WaitSubmitted(engine::RequestId count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return next_id_ > count; });
  }
  void WaitCancelled(size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return cancelled_.size() >= count; });
  }
  engine::GenerationRequest last() {
    const std::lock_guard lock(mutex_);
    return last_;
  }

 private:
  static constexpr text::TokenId kBos = 256;
  struct Work {
    engine::RequestId id;
    std::string prompt;
    engine::GenerationRequest request;
  };

  void Run() {
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [&] { return stopping_ || Ready() != work_.end(); });
      const auto next = Ready();
      if (next == work_.end()) return;
      const Work work = std::move(*next);
      const bool cancelled = cancelled_.count(work.id) != 0;
      work_.erase(next);
      lock.unlock();
      Generate(work, cancelled);
      lock.lock();
    }
  }
  std::deque<Work>::iterator Ready() {
    auto it = work_.begin();
    while (it != work_.end() && it->prompt.find("HOLD") != std::string::npos &&
           cancelled_.count(it->id) == 0 && !stopping_)
      ++it;
    return it;
  }

  void Generate(const Work& work, bool cancelled) {
    engine::GenerationEvent event;
    if (cancelled || stopping_) {
      event.finish = engine::FinishReason::kCancelled;
    } else if (work.prompt.find("FAIL") != std::string::npos) {
      event.tokens = {'F'};
      event.text = "F";
      work.request.on_event(std::move(event));
      event = {};
      event.finish = engine::FinishReason::kError;
      event.error = "out of luck";
    } else {
      event.finish = Say(work);
    }
    work.request.on_event(std::move(event));
  }
  static engine::FinishReason Say(const Work& work) {
    std::string held;
    int64_t count = 0;
    for (size_t i = 0; i < work.prompt.size(); ++i) {
      if (count++ == work.request.sampling.max_tokens) return engine::FinishReason::kLength;
      held += work.prompt[i];
      engine::GenerationEvent event;
      event.tokens = {static_cast<unsigned char>(work.prompt[i])};
      if (work.request.logprobs) event.logprobs = {-0.5};
      const bool more = i + 1 < work.prompt.size() &&
                        (static_cast<unsigned char>(work.prompt[i + 1]) & 0xC0U) == 0x80U;
      if (!more) event.text = std::exchange(held, {});
      work.request.on_event(std::move(event));
    }
    return engine::FinishReason::kStop;
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Work> work_;
  std::set<engine::RequestId> cancelled_;
  engine::GenerationRequest last_;
  engine::RequestId next_id_ = 1;
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

}  // namespace octavo::serve
