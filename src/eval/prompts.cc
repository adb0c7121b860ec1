// Reading and rendering prompts.
#include "eval/prompts.h"

#include <algorithm>

#include <fmt/format.h>

#include "core/file.h"

namespace octavo::eval {
namespace {

using core::Invalid;
using core::Json;
using core::Result;

// What the chat template will read: objects with a role, and a content that is a text or a list of
// parts.
core::Status CheckMessages(const Json& messages) {
  if (!messages.is_array() || messages.empty()) {
    return Invalid("'messages' must be a list of one or more messages");
  }
  for (const Json& message : messages) {
    OCTAVO_RETURN_IF_ERROR(core::GetString(message, "role"));
    const Json* const content = core::Find(message, "content");
    // An assistant that called a tool may have said nothing.
    if (content == nullptr && core::Find(message, "tool_calls") != nullptr) continue;
    if (content == nullptr || (!content->is_string() && !content->is_array())) {
      return Invalid("a message needs 'content': a text, or a list of parts");
    }
  }
  return {};
}

void AppendLine(std::string_view text, std::string& out) {
  if (!out.empty()) out += '\n';
  out += text;
}

}  // namespace

Result<Prompt> ParsePrompt(const PromptLine& line) {
  constexpr core::JsonLimits kLineLimits{.max_bytes = size_t{16} << 20};
  OCTAVO_TRY(const Json object, core::ParseJson(line.text, kLineLimits));
  const Json* const body = core::Find(object, "body");
  const Json& request = body != nullptr ? *body : object;
  const Json* const messages = core::Find(request, "messages");
  Prompt prompt{line.number, std::nullopt, nullptr, ""};
  OCTAVO_TRY(const auto text, core::GetOptionalString(request, "prompt"));
  if ((messages != nullptr) == text.has_value()) {
    return Invalid("expected an object with either 'messages' or 'prompt'");
  }
  if (messages == nullptr) {
    prompt.text = *text;
    return prompt;
  }
  OCTAVO_RETURN_IF_ERROR(CheckMessages(*messages));
  prompt.messages = *messages;
  const Json* const tools = core::Find(request, "tools");
  if (tools != nullptr) prompt.tools = *tools;
  return prompt;
}

std::vector<PromptLine> SplitPromptLines(std::string_view jsonl) {
  std::vector<PromptLine> lines;
  for (int64_t number = 1; !jsonl.empty(); ++number) {
    const std::string_view line = jsonl.substr(0, jsonl.find('\n'));
    jsonl.remove_prefix(std::min(jsonl.size(), line.size() + 1));
    if (line.find_first_not_of(" \t\r") != std::string_view::npos) lines.push_back({number, line});
  }
  return lines;
}

Result<std::vector<Prompt>> ParsePrompts(std::string_view jsonl) {
  std::vector<Prompt> prompts;
  for (const PromptLine& line : SplitPromptLines(jsonl)) {
    const std::string place = fmt::format("line {}", line.number);
    OCTAVO_TRY(Prompt prompt, ParsePrompt(line).Context(place));
    if (!prompt.messages && prompt.text.empty()) return Invalid(place + ": 'prompt' is empty");
    prompts.push_back(std::move(prompt));
  }
  if (prompts.empty()) return Invalid("no prompts: write one JSON object a line");
  return prompts;
}

std::string WrittenText(const Prompt& prompt) {
  if (!prompt.messages) return prompt.text;
  std::string text;
  for (const Json& message : *prompt.messages) {
    const Json* const content = core::Find(message, "content");
    if (content == nullptr) continue;
    if (content->is_string()) {
      AppendLine(content->get_ref<const std::string&>(), text);
      continue;
    }
    for (const Json& part : *content) {
      const Json* const piece = core::Find(part, "text");
      if (piece != nullptr && piece->is_string())
        AppendLine(piece->get_ref<const std::string&>(), text);
    }
  }
  return text;
}

Result<std::vector<Prompt>> ReadPrompts(const std::string& path) {
  OCTAVO_TRY(const std::string jsonl, core::ReadFile(path));
  return ParsePrompts(jsonl).Context(path);
}

Result<RenderedPrompt> RenderPrompt(const Prompt& prompt, const text::Tokenizer& tokenizer,
                                    const text::ChatTemplate* chat_template) {
  RenderedPrompt rendered;
  rendered.text = prompt.text;
  if (prompt.messages) {
    if (chat_template == nullptr) {
      return Invalid("the model has no chat template for 'messages': give plain prompts instead");
    }
    OCTAVO_TRY(rendered.text, chat_template->Render(*prompt.messages, true, prompt.tools));
  }
  OCTAVO_TRY(rendered.ids, tokenizer.Encode(rendered.text, !prompt.messages));
  if (rendered.ids.empty()) return Invalid("the prompt has no tokens");
  return rendered;
}

}  // namespace octavo::eval
