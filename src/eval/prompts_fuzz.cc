// Prompt files: whatever is accepted has at least one prompt, and each has something to say.
#include <cstddef>
#include <cstdint>

#include "eval/prompts.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto prompts = octavo::eval::ParsePrompts({reinterpret_cast<const char*>(data), size});
  if (!prompts.ok()) return 0;
  OCTAVO_CHECK(!prompts.value().empty());
  for (const auto& prompt : prompts.value()) {
    OCTAVO_CHECK(prompt.messages.has_value() == prompt.text.empty());
  }
  return 0;
}
