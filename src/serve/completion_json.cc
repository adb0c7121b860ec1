// The JSON of answers.
#include "serve/completion_json.h"

#include <algorithm>
#include <cmath>

namespace octavo::serve {
namespace {

using core::Json;
using engine::FinishReason;

Json Document(const CompletionMeta& meta, bool chunk) {
  const char* object = "text_completion";
  if (meta.endpoint == Endpoint::kChat)
    object = chunk ? "chat.completion.chunk" : "chat.completion";
  return {{"id", meta.id}, {"object", object}, {"created", meta.created}, {"model", meta.model}};
}

Json FinishJson(FinishReason finish) {
  if (finish == FinishReason::kNone) return nullptr;
  return finish == FinishReason::kLength ? "length" : "stop";
}

// JSON has no infinity; clients read -9999 as "impossible".
double Finite(double logprob) {
  return std::isfinite(logprob) ? logprob : -9999.0;
}

Json ChatLogprobs(const ChoiceJson& choice) {
  Json content = Json::array();
  for (const TokenLogprob& token : choice.logprobs) {
    Json bytes = Json::array();
    for (const char c : token.token) bytes.push_back(static_cast<unsigned char>(c));
    content.push_back({{"token", token.token},
                       {"logprob", Finite(token.logprob)},
                       {"bytes", std::move(bytes)},
                       {"top_logprobs", Json::array()}});
  }
  return {{"content", std::move(content)}};
}

Json LegacyLogprobs(const CompletionMeta& meta, const ChoiceJson& choice) {
  Json tokens = Json::array();
  Json logprobs = Json::array();
  Json top = Json::array();
  Json offsets = Json::array();
  int64_t offset = choice.text_offset;
  for (const TokenLogprob& token : choice.logprobs) {
    tokens.push_back(token.token);
    logprobs.push_back(Finite(token.logprob));
    top.push_back(Json::object({{token.token, Finite(token.logprob)}}));
    offsets.push_back(offset);
    offset += CountCharacters(token.token);
  }
  return {{"tokens", std::move(tokens)},
          {"token_logprobs", std::move(logprobs)},
          {"top_logprobs", meta.top_logprob ? std::move(top) : Json(nullptr)},
          {"text_offset", std::move(offsets)}};
}

Json LogprobsJson(const CompletionMeta& meta, const ChoiceJson& choice) {
  if (!choice.with_logprobs) return nullptr;
  return meta.endpoint == Endpoint::kChat ? ChatLogprobs(choice) : LegacyLogprobs(meta, choice);
}

Json UsageJson(const Usage& usage) {
  return {{"prompt_tokens", usage.prompt_tokens},
          {"completion_tokens", usage.completion_tokens},
          {"total_tokens", usage.prompt_tokens + usage.completion_tokens}};
}

Json Chunk(const CompletionMeta& meta, Json choice) {
  Json chunk = Document(meta, true);
  chunk["choices"] = Json::array({std::move(choice)});
  return chunk;
}

}  // namespace

int64_t CountCharacters(std::string_view text) {
  return std::count_if(text.begin(), text.end(),
                       [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; });
}

Json WholeCompletion(const CompletionMeta& meta, const std::vector<ChoiceJson>& choices,
                     const Usage& usage) {
  Json document = Document(meta, false);
  Json list = Json::array();
  for (const ChoiceJson& choice : choices) {
    Json item = {{"index", choice.index}};
    if (meta.endpoint == Endpoint::kChat) {
      item["message"] = {{"role", "assistant"}, {"content", choice.text}};
    } else {
      item["text"] = choice.text;
    }
    item["logprobs"] = LogprobsJson(meta, choice);
    item["finish_reason"] = FinishJson(choice.finish);
    list.push_back(std::move(item));
  }
  document["choices"] = std::move(list);
  document["usage"] = UsageJson(usage);
  return document;
}

Json RoleChunk(const CompletionMeta& meta, int64_t index) {
  return Chunk(meta, {{"index", index},
                      {"delta", {{"role", "assistant"}, {"content", ""}}},
                      {"logprobs", nullptr},
                      {"finish_reason", nullptr}});
}

Json TextChunk(const CompletionMeta& meta, const ChoiceJson& choice) {
  Json item = {{"index", choice.index}};
  if (meta.endpoint == Endpoint::kChat) {
    item["delta"] = Json::object();
    if (choice.finish == FinishReason::kNone) item["delta"]["content"] = choice.text;
  } else {
    item["text"] = choice.text;
  }
  item["logprobs"] = LogprobsJson(meta, choice);
  item["finish_reason"] = FinishJson(choice.finish);
  return Chunk(meta, std::move(item));
}

Json UsageChunk(const CompletionMeta& meta, const Usage& usage) {
  Json chunk = Document(meta, true);
  chunk["choices"] = Json::array();
  chunk["usage"] = UsageJson(usage);
  return chunk;
}

}  // namespace octavo::serve
