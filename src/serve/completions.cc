// From the body of a completion request to generations on a backend.
#include "serve/completions.h"

#include <algorithm>
#include <chrono>
#include <random>
#include <utility>

#include <fmt/format.h>

#include "core/bytes.h"
#include "serve/answer.h"

namespace octavo::serve {
namespace {

constexpr int64_t kDefaultMaxTokens = 16;  // of /v1/completions, as OpenAI's
// No vocabulary packs this much text into its average token: longer text is refused before time is
// spent on it.
constexpr int64_t kMaxBytesPerToken = 256;

uint64_t RandomBits() {
  thread_local std::mt19937_64 generator = [] {
    std::random_device device;
    std::seed_seq seed{device(), device(), device(), device()};
    return std::mt19937_64(seed);
  }();
  return generator();
}

CompletionMeta NewMeta(const CompletionRequest& request, const ServedModel& model) {
  const char* prefix = request.endpoint == Endpoint::kChat ? "chatcmpl-" : "cmpl-";
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return {request.endpoint, fmt::format("{}{:016x}{:016x}", prefix, RandomBits(), RandomBits()),
          std::chrono::duration_cast<std::chrono::seconds>(now).count(), model.name,
          request.top_logprob};
}

ApiError TooLong(const ServedModel& model, const std::string& what, std::string_view param) {
  return {400,
          fmt::format("This model's maximum context length is {} tokens. However, {}. Please "
                      "reduce the length of the "
                      "{} or completion.",
                      model.context, what, param),
          std::string(param), "context_length_exceeded"};
}

Failure Encode(Backend& backend, const ServedModel& model, std::string_view text, bool special,
               std::string_view param, std::vector<text::TokenId>& ids) {
  if (static_cast<int64_t>(text.size()) / kMaxBytesPerToken > model.context) {
    return TooLong(model, fmt::format("your {} have {} bytes", param, text.size()), param);
  }
  auto encoded = backend.Encode(text, special);
  if (!encoded.ok()) return ApiError{400, encoded.error().message(), std::string(param), ""};
  ids = std::move(encoded).value();
  return {};
}

// The token ids of each prompt of a request.
Failure Tokenize(Backend& backend, const ServedModel& model, const CompletionRequest& request,
                 std::vector<std::vector<text::TokenId>>& prompts) {
  if (request.endpoint == Endpoint::kChat) {
    const auto text = backend.RenderChat(request.messages);
    if (!text.ok()) return ApiError{400, text.error().message(), "messages", ""};
    // The template has written the special tokens already.
    return Encode(backend, model, text.value(), false, "messages", prompts.emplace_back());
  }
  for (const Prompt& prompt : request.prompts) {
    std::vector<text::TokenId>& ids = prompts.emplace_back();
    if (const auto* text = std::get_if<std::string>(&prompt)) {
      if (Failure failure = Encode(backend, model, *text, true, "prompt", ids)) return failure;
    } else {
      ids = std::get<std::vector<text::TokenId>>(prompt);
    }
  }
  return {};
}

// How many tokens may follow a prompt.
Failure FitMaxTokens(const ServedModel& model, const CompletionRequest& request,
                     int64_t prompt_tokens, int64_t& max_tokens) {
  const bool chat = request.endpoint == Endpoint::kChat;
  const char* param = chat ? "messages" : "prompt";
  if (prompt_tokens == 0)
    return ApiError{400, fmt::format("{}: there must be at least one token.", param), param, ""};
  const int64_t left = model.context - prompt_tokens;
  if (left <= 0 || request.max_tokens.value_or(0) > left) {
    return TooLong(model,
                   fmt::format("you requested {} tokens ({} in the {}, {} in the completion)",
                               prompt_tokens + request.max_tokens.value_or(0), prompt_tokens, param,
                               request.max_tokens.value_or(0)),
                   param);
  }
  max_tokens = request.max_tokens.value_or(chat ? left : std::min(left, kDefaultMaxTokens));
  return {};
}

Failure Prepare(std::string_view body, const ServedModel& model, Backend& backend,
                CompletionRequest& request, std::vector<engine::GenerationRequest>& generations) {
  if (Failure failure = ParseCompletionRequest(body, request.endpoint, request)) return failure;
  if (!request.model.empty() && request.model != model.name) {
    return ApiError{404,
                    fmt::format("The model '{}' does not exist; this server serves '{}'.",
                                core::Printable(request.model), model.name),
                    "model", "model_not_found"};
  }
  std::vector<std::vector<text::TokenId>> prompts;
  if (Failure failure = Tokenize(backend, model, request, prompts)) return failure;
  const uint64_t seed = request.seed ? *request.seed : RandomBits();
  for (std::vector<text::TokenId>& prompt : prompts) {
    engine::GenerationRequest& generation = generations.emplace_back();
    generation.sampling = request.sampling;
    generation.sampling.seed = seed;
    generation.logprobs = request.logprobs;
    if (Failure failure = FitMaxTokens(model, request, static_cast<int64_t>(prompt.size()),
                                       generation.sampling.max_tokens)) {
      return failure;
    }
    generation.prompt = std::move(prompt);
  }
  return {};
}

}  // namespace

void HandleCompletion(std::string_view body, Endpoint endpoint, const ServedModel& model,
                      Backend& backend, const net::Responder& responder) {
  CompletionRequest request;
  request.endpoint = endpoint;
  std::vector<engine::GenerationRequest> generations;
  if (const Failure failure = Prepare(body, model, backend, request, generations)) {
    return responder.Send(ErrorResponse(*failure));
  }
  Answer::Run(backend, NewMeta(request, model), request, std::move(generations), responder);
}

}  // namespace octavo::serve
