// The answer to one completion request while it is generated.
#include "serve/answer.h"

#include "serve/api_error.h"

namespace octavo::serve {

using engine::FinishReason;
using engine::GenerationEvent;

Answer::Answer(Backend& backend, CompletionMeta meta, const CompletionRequest& request,
               int64_t choices, int64_t prompt_tokens, const net::Responder& responder)
    : backend_(backend),
      meta_(std::move(meta)),
      stream_(request.stream),
      include_usage_(request.include_usage),
      responder_(responder),
      choices_(static_cast<size_t>(choices)),
      opened_(static_cast<size_t>(choices), false),
      unfinished_(static_cast<size_t>(choices)) {
  usage_.prompt_tokens = prompt_tokens;
  for (size_t i = 0; i < choices_.size(); ++i) {
    choices_[i].index = static_cast<int64_t>(i);
    choices_[i].with_logprobs = request.logprobs;
  }
}

void Answer::Run(Backend& backend, CompletionMeta meta, const CompletionRequest& request,
                 std::vector<engine::GenerationRequest> generations,
                 const net::Responder& responder) {
  int64_t prompt_tokens = 0;
  for (const auto& generation : generations)
    prompt_tokens += static_cast<int64_t>(generation.prompt.size());
  const auto answer =
      std::make_shared<Answer>(backend, std::move(meta), request,
                               static_cast<int64_t>(generations.size()), prompt_tokens, responder);
  std::vector<engine::RequestId> ids;
  Failure failure;
  for (size_t i = 0; i < generations.size() && !failure; ++i) {
    generations[i].on_event = [answer, i](GenerationEvent&& event) {
      answer->OnEvent(i, std::move(event));
    };
    const auto id = backend.Submit(std::move(generations[i]));
    if (id.ok()) {
      ids.push_back(id.value());
    } else if (id.error().code() == core::ErrorCode::kExhausted) {
      failure = ApiError{429, "The server is busy: " + id.error().message() + ". Try again later.",
                         "", "queue_full"};
    } else {
      failure = ApiError{400, id.error().message(), "", ""};
    }
  }

  const std::lock_guard lock(answer->mutex_);
  answer->ids_ = ids;
  answer->begun_ = true;
  if (failure) return answer->Fail(*failure);
  if (request.stream) responder.StartEvents();
  // Only ids are captured: the callback lives in the responder, and must not keep it alive.
  responder.OnClose([&backend, ids] {
    for (const engine::RequestId id : ids) backend.Cancel(id);
  });
  for (Event& event : std::exchange(answer->early_, {}))
    answer->Take(event.first, std::move(event.second));
}

void Answer::OnEvent(size_t choice, GenerationEvent&& event) {
  const std::lock_guard lock(mutex_);
  if (begun_) {
    Take(choice, std::move(event));
  } else {
    early_.emplace_back(choice, std::move(event));
  }
}

void Answer::Take(size_t index, GenerationEvent&& event) {
  if (done_) return;
  if (event.finish == FinishReason::kError) {
    return Fail({500, "The model failed: " + event.error, "", ""});
  }
  if (event.finish == FinishReason::kCancelled) {
    return Fail({503, "The request was cancelled because the server is shutting down.", "", ""});
  }
  ChoiceJson& choice = choices_[index];
  ChoiceJson delta;
  delta.index = choice.index;
  delta.with_logprobs = choice.with_logprobs;
  delta.text_offset = choice.text_offset;
  delta.text = std::move(event.text);
  usage_.completion_tokens += static_cast<int64_t>(event.tokens.size());
  for (size_t i = 0; i < event.logprobs.size() && i < event.tokens.size(); ++i) {
    delta.logprobs.push_back({backend_.TokenText(event.tokens[i]), event.logprobs[i]});
  }
  delta.finish = event.finish;
  choice.finish = event.finish;
  if (stream_) {
    for (const TokenLogprob& token : delta.logprobs)
      choice.text_offset += CountCharacters(token.token);
    Stream(index, std::move(delta));
  } else {
    choice.text += delta.text;
    choice.logprobs.insert(choice.logprobs.end(), delta.logprobs.begin(), delta.logprobs.end());
  }
  if (event.finish != FinishReason::kNone && --unfinished_ == 0) Finish();
}

void Answer::Stream(size_t index, ChoiceJson&& delta) {
  if (meta_.endpoint == Endpoint::kChat && !opened_[index]) Send(RoleChunk(meta_, delta.index));
  opened_[index] = true;
  const FinishReason finish = std::exchange(delta.finish, FinishReason::kNone);
  if (!delta.text.empty() || !delta.logprobs.empty()) Send(TextChunk(meta_, delta));
  if (finish == FinishReason::kNone) return;
  delta.text.clear();
  delta.with_logprobs = false;
  delta.finish = finish;
  Send(TextChunk(meta_, delta));
}

void Answer::Send(core::Json chunk) {
  // As OpenAI does: who asks for the usage finds the field in every chunk, null in all but the
  // last.
  if (include_usage_ && !chunk.contains("usage")) chunk["usage"] = nullptr;
  responder_.SendEvent(core::DumpJsonLine(chunk));
}

void Answer::Fail(const ApiError& error) {
  done_ = true;
  for (const engine::RequestId id : ids_) backend_.Cancel(id);
  responder_.Send(ErrorResponse(error));  // ignored once a stream has begun
  responder_.SendEvent(core::DumpJsonLine(ErrorJson(error)));
  responder_.SendEvent("[DONE]");
  responder_.FinishEvents();
}

void Answer::Finish() {
  done_ = true;
  if (!stream_) return responder_.Send(JsonResponse(WholeCompletion(meta_, choices_, usage_)));
  if (include_usage_) Send(UsageChunk(meta_, usage_));
  responder_.SendEvent("[DONE]");
  responder_.FinishEvents();
}

}  // namespace octavo::serve
