// The body of a completion request, checked: one table says what each field may hold.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/json.h"
#include "engine/sampling.h"
#include "serve/api_error.h"

namespace octavo::serve {

enum class Endpoint : uint8_t { kCompletions = 1, kChat = 2 };

using Prompt = std::variant<std::string, std::vector<text::TokenId>>;

struct CompletionRequest {
  Endpoint endpoint = Endpoint::kCompletions;
  std::string model;            // empty: whatever is served
  std::vector<Prompt> prompts;  // completions only, at least one
  core::Json messages;          // chat only: an array, at least one
  bool stream = false;
  bool include_usage = false;  // stream_options
  bool logprobs = false;
  bool top_logprob =
      false;  // the likeliest token too, which under greedy sampling is the chosen one
  std::optional<int64_t> max_tokens;
  std::optional<uint64_t> seed;
  engine::SamplingOptions sampling = [] {
    engine::SamplingOptions options;
    options.temperature = 1;  // OpenAI's default
    return options;
  }();  // its max_tokens and seed are set when the prompt's length is known
};

enum class FieldType : uint8_t {
  kBoolean,
  kInteger,
  kNumber,
  kText,
  kStop,
  kPrompt,
  kMessages,
  kStreamOptions
};

// One accepted field. min and max bound a number, or the count of strings, prompts or messages,
// both inclusive; a kNumber must be above 0 where `above_min`.
struct Field {
  std::string_view name;
  uint8_t endpoints;  // Endpoint values or-ed together
  FieldType type;
  double min;
  double max;
  bool above_min;
  std::string_view default_value;  // for people
  void (*store)(CompletionRequest& request, const core::Json& value);
};
std::span<const Field> Fields();

// A field that would change the answer in a way that octavo does not offer. It is refused by name
// unless its value asks for nothing; all other unknown fields are ignored.
struct RefusedField {
  std::string_view name;
  std::string_view harmless;  // JSON array of the values that ask for nothing (null always does)
};
std::span<const RefusedField> RefusedFields();

// Reads and checks a body. The failure names the first field at fault, what it got and what is
// allowed. Whether the prompt fits the model is not known here.
Failure ParseCompletionRequest(std::string_view body, Endpoint endpoint,
                               CompletionRequest& request);

}  // namespace octavo::serve
