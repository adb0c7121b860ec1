// The JSON of answers: whole completions and the chunks of a stream, in the two shapes of OpenAI's
// API.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/json.h"
#include "engine/scheduler.h"
#include "serve/completion_request.h"

namespace octavo::serve {

// What is the same in every document about one request.
struct CompletionMeta {
  Endpoint endpoint;
  std::string id;  // "cmpl-..." or "chatcmpl-..."
  int64_t created;
  std::string model;
  bool top_logprob;
};

struct TokenLogprob {
  std::string token;
  double logprob;
};

// One of the completions that a request asked for, or what a chunk adds to it.
struct ChoiceJson {
  int64_t index = 0;
  std::string text;
  std::vector<TokenLogprob> logprobs;
  bool with_logprobs = false;
  int64_t text_offset = 0;  // characters of the completion before these tokens
  engine::FinishReason finish = engine::FinishReason::kNone;
};

struct Usage {
  int64_t prompt_tokens = 0;
  int64_t completion_tokens = 0;
};

core::Json WholeCompletion(const CompletionMeta& meta, const std::vector<ChoiceJson>& choices,
                           const Usage& usage);

// The chunk that opens a choice of a chat: the role.
core::Json RoleChunk(const CompletionMeta& meta, int64_t index);
// More text, or with `finish` set the end of the choice. finish_reason is in every chunk, null
// until then.
core::Json TextChunk(const CompletionMeta& meta, const ChoiceJson& choice);
// The last chunk, without choices.
core::Json UsageChunk(const CompletionMeta& meta, const Usage& usage);

// Characters (code points) of UTF-8 text.
int64_t CountCharacters(std::string_view text);

}  // namespace octavo::serve
