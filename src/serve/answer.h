// The answer to one completion request while it is generated: gathers the events of all its
// choices, and sends them whole or as a stream.
#pragma once

#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "net/responder.h"
#include "serve/backend.h"
#include "serve/completion_json.h"

namespace octavo::serve {

// Thread-safe.
class Answer {
 public:
  // One choice for each of `prompts`; `backend` must outlive the answer.
  static void Run(Backend& backend, CompletionMeta meta, const CompletionRequest& request,
                  std::vector<engine::GenerationRequest> generations,
                  const net::Responder& responder);

  Answer(Backend& backend, CompletionMeta meta, const CompletionRequest& request, int64_t choices,
         int64_t prompt_tokens, const net::Responder& responder);

 private:
  using Event = std::pair<size_t, engine::GenerationEvent>;
  void OnEvent(size_t choice, engine::GenerationEvent&& event);
  // The following run with mutex_ held.
  void Take(size_t choice, engine::GenerationEvent&& event);
  void Stream(size_t choice, ChoiceJson&& delta);
  void Send(core::Json chunk);
  void Fail(const ApiError& error);
  void Finish();

  Backend& backend_;
  const CompletionMeta meta_;
  const bool stream_;
  const bool include_usage_;
  const net::Responder responder_;
  std::mutex mutex_;
  std::vector<engine::RequestId> ids_;
  std::vector<Event> early_;  // events that came before all choices were submitted
  std::vector<ChoiceJson> choices_;
  std::vector<bool> opened_;  // the role of a chat's choice was sent
  size_t unfinished_;
  Usage usage_;
  bool begun_ = false;
  bool done_ = false;
};

}  // namespace octavo::serve
