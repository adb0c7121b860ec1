// Prompt files: whatever is accepted has at least one prompt, and each has something to say.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "eval/prompts.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view jsonl(reinterpret_cast<const char*>(data), size);
  size_t usable = 0;
  for (const octavo::eval::PromptLine& line : octavo::eval::SplitPromptLines(jsonl)) {
    const auto prompt = octavo::eval::ParsePrompt(line);
    if (!prompt.ok()) continue;
    if (!prompt.value().messages) {
      OCTAVO_CHECK(octavo::eval::WrittenText(prompt.value()) == prompt.value().text);
      if (prompt.value().text.empty()) continue;
    } else {
      OCTAVO_CHECK(octavo::eval::WrittenText(prompt.value()).size() <= size);
    }
    ++usable;
  }
  const auto prompts = octavo::eval::ParsePrompts(jsonl);
  if (!prompts.ok()) return 0;
  OCTAVO_CHECK(prompts.value().size() == usable);
  OCTAVO_CHECK(!prompts.value().empty());
  for (const auto& prompt : prompts.value()) {
    OCTAVO_CHECK(prompt.messages.has_value() == prompt.text.empty());
  }
  return 0;
}
