// Prompts from JSONL files, and as the token ids that a model sees.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/json.h"
#include "core/result.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace octavo::eval {

// Either `messages`, to be rendered by the model's chat template with `tools` (null: none), or
// `text` as it is.
struct Prompt {
  int64_t line = 0;  // of the file, from 1
  std::optional<core::Json> messages;
  core::Json tools;
  std::string text;
};

// A line of a prompt file that is not blank.
struct PromptLine {
  int64_t number = 0;     // from 1
  std::string_view text;  // without its newline
};

// One JSON object a line, blank lines apart, in any of these forms; other members are ignored.
//   {"messages": [{"role": "user", "content": "Why is the sky blue?"}]}
//   {"prompt": "The sky is blue because"}
//   {"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "m",
//   "messages": [...]}}
// The last is a line of an OpenAI request log or batch file; its body is either of the first two,
// and `tools` beside its messages go into the template too. A line that is none of them, or whose
// prompt is empty, is an Error that names it.
core::Result<std::vector<Prompt>> ParsePrompts(std::string_view jsonl);
// For callers that can do without some lines: the lines, which view into `jsonl`, and one of them
// as a prompt, whose text may be empty.
std::vector<PromptLine> SplitPromptLines(std::string_view jsonl);
core::Result<Prompt> ParsePrompt(const PromptLine& line);
// What was written, without the template's markup: the text, or the texts of the messages, joined
// by newlines.
std::string WrittenText(const Prompt& prompt);
core::Result<std::vector<Prompt>> ReadPrompts(const std::string& path);

struct RenderedPrompt {
  std::string text;  // what the tokenizer was given
  std::vector<text::TokenId> ids;
};

// A chat ends with the template's opening of the assistant's turn and brings its own special
// tokens; a plain text gets those that the tokenizer adds. Chats need `chat_template`.
core::Result<RenderedPrompt> RenderPrompt(const Prompt& prompt, const text::Tokenizer& tokenizer,
                                          const text::ChatTemplate* chat_template);

}  // namespace octavo::eval
