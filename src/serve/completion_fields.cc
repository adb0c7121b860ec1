// The table of request fields: what is accepted, in which range, and what is refused by name.
#include <array>

#include "serve/completion_request.h"

namespace octavo::serve {
namespace {

constexpr auto kCompletions = static_cast<uint8_t>(Endpoint::kCompletions);
constexpr auto kChat = static_cast<uint8_t>(Endpoint::kChat);
constexpr uint8_t kBoth = kCompletions | kChat;
using Json = core::Json;
using Request = CompletionRequest;

constexpr double kMaxTokens = 1e9;  // the model's context is the real limit

void StoreMaxTokens(Request& r, const Json& v) {
  r.max_tokens = v.get<int64_t>();
}
void StoreSeed(Request& r, const Json& v) {
  r.seed = v.is_number_unsigned() ? v.get<uint64_t>() : static_cast<uint64_t>(v.get<int64_t>());
}
void StoreTopLogprobs(Request& r, const Json& v) {
  r.logprobs = true;
  r.top_logprob = v.get<int64_t>() == 1;
}

// Of two fields for one thing the later line wins.
constexpr std::array kFields = {
    Field{"model", kBoth, FieldType::kText, 0, 1000, false, "the served model",
          [](Request& r, const Json& v) { r.model = v.get<std::string>(); }},
    Field{"prompt", kCompletions, FieldType::kPrompt, 1, 128, false, "required", nullptr},
    Field{"messages", kChat, FieldType::kMessages, 1, 4096, false, "required",
          [](Request& r, const Json& v) { r.messages = v; }},
    Field{"max_tokens", kBoth, FieldType::kInteger, 1, kMaxTokens, false,
          "completions 16, chat what the context leaves", StoreMaxTokens},
    Field{"max_completion_tokens", kBoth, FieldType::kInteger, 1, kMaxTokens, false, "max_tokens",
          StoreMaxTokens},
    Field{"temperature", kBoth, FieldType::kNumber, 0, 2, false, "1",
          [](Request& r, const Json& v) { r.sampling.temperature = v.get<double>(); }},
    Field{"top_p", kBoth, FieldType::kNumber, 0, 1, true, "1",
          [](Request& r, const Json& v) { r.sampling.top_p = v.get<double>(); }},
    Field{"top_k", kBoth, FieldType::kInteger, -1, 2147483647, false, "0: all, as is -1",
          [](Request& r, const Json& v) {
            r.sampling.top_k = std::max<int64_t>(0, v.get<int64_t>());
          }},
    Field{"seed", kBoth, FieldType::kInteger, -9223372036854775808.0, 18446744073709551615.0, false,
          "random", StoreSeed},
    Field{"stop", kBoth, FieldType::kStop, 0, 4, false, "none", nullptr},
    Field{"ignore_eos", kBoth, FieldType::kBoolean, 0, 1, false, "false",
          [](Request& r, const Json& v) { r.sampling.ignore_eos = v.get<bool>(); }},
    Field{"logprobs", kCompletions, FieldType::kInteger, 0, 1, false, "none", StoreTopLogprobs},
    Field{"logprobs", kChat, FieldType::kBoolean, 0, 1, false, "false",
          [](Request& r, const Json& v) { r.logprobs = v.get<bool>(); }},
    Field{"stream", kBoth, FieldType::kBoolean, 0, 1, false, "false",
          [](Request& r, const Json& v) { r.stream = v.get<bool>(); }},
    Field{"stream_options", kBoth, FieldType::kStreamOptions, 0, 0, false, "none", nullptr},
};

constexpr std::array kRefused = {
    RefusedField{"n", "[1]"},
    RefusedField{"best_of", "[1]"},
    RefusedField{"echo", "[false]"},
    RefusedField{"suffix", R"([""])"},
    RefusedField{"logit_bias", "[{}]"},
    RefusedField{"presence_penalty", "[0]"},
    RefusedField{"frequency_penalty", "[0]"},
    RefusedField{"repetition_penalty", "[1]"},
    RefusedField{"min_p", "[0]"},
    RefusedField{"min_tokens", "[0]"},
    RefusedField{"stop_token_ids", "[[]]"},
    RefusedField{"use_beam_search", "[false]"},
    RefusedField{"prompt_logprobs", "[]"},
    RefusedField{"top_logprobs", "[0]"},
    RefusedField{"tools", "[[]]"},
    RefusedField{"tool_choice", R"(["none", "auto"])"},
    RefusedField{"functions", "[[]]"},
    RefusedField{"function_call", R"(["none", "auto"])"},
    RefusedField{"response_format", R"([{"type": "text"}])"},
    RefusedField{"structured_outputs", "[]"},
    RefusedField{"guided_json", "[]"},
    RefusedField{"guided_regex", "[]"},
    RefusedField{"guided_choice", "[]"},
    RefusedField{"guided_grammar", "[]"},
    RefusedField{"json_schema", "[]"},
    RefusedField{"grammar", R"([""])"},
    RefusedField{"modalities", R"([["text"]])"},
    RefusedField{"audio", "[]"},
    RefusedField{"prediction", "[]"},
    RefusedField{"chat_template", "[]"},
    RefusedField{"chat_template_kwargs", "[{}]"},
    RefusedField{"add_generation_prompt", "[true]"},
    RefusedField{"continue_final_message", "[false]"},
};

}  // namespace

std::span<const Field> Fields() {
  return kFields;
}
std::span<const RefusedField> RefusedFields() {
  return kRefused;
}

}  // namespace octavo::serve
