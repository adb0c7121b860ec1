// Reading a completion request: every value is checked against the table before anything uses it.
#include "serve/completion_request.h"

#include <limits>
#include <utility>

#include <fmt/format.h>

#include "core/bytes.h"

namespace octavo::serve {
namespace {

using core::Json;

constexpr size_t kMaxStopBytes = 1024;

std::string Got(const Json& value) {
  if (value.is_array()) return fmt::format("an array of {}", value.size());
  if (value.is_object()) return "an object";
  return core::Printable(core::DumpJsonLine(value), 40);
}

ApiError Wrong(std::string_view field, std::string_view expected, const Json& value) {
  return {400, fmt::format("{}: expected {}, got {}.", field, expected, Got(value)),
          std::string(field), ""};
}

std::string Range(const Field& field) {
  const char* kind = field.type == FieldType::kInteger ? "an integer" : "a number";
  if (field.above_min)
    return fmt::format("{} above {:.0f}, at most {:.0f}", kind, field.min, field.max);
  return fmt::format("{} from {:.0f} to {:.0f}", kind, field.min, field.max);
}

bool InRange(const Field& field, const Json& value) {
  const auto number = value.get<double>();
  return (field.above_min ? number > field.min : number >= field.min) && number <= field.max;
}

Failure ReadTokens(std::string_view field, const Json& value, Prompt& prompt) {
  std::vector<text::TokenId> ids;
  ids.reserve(value.size());
  for (const Json& id : value) {
    if (!id.is_number_integer() || id < 0 || id > std::numeric_limits<text::TokenId>::max()) {
      return Wrong(field, "token ids, which are integers from 0", id);
    }
    ids.push_back(id.get<text::TokenId>());
  }
  prompt = std::move(ids);
  return {};
}

// A string, a list of token ids, a list of strings, or a list of lists of token ids.
Failure ReadPrompt(const Field& field, const Json& value, CompletionRequest& request) {
  if (value.is_string()) {
    request.prompts = {value.get<std::string>()};
    return {};
  }
  constexpr std::string_view kExpected = "a string, a list of token ids, or a list of either";
  if (!value.is_array() || value.empty()) return Wrong(field.name, kExpected, value);
  if (value.front().is_number()) {
    request.prompts.resize(1);
    return ReadTokens(field.name, value, request.prompts[0]);
  }
  if (static_cast<double>(value.size()) > field.max) {
    return Wrong(field.name, fmt::format("at most {:.0f} prompts", field.max), value);
  }
  const bool strings = value.front().is_string();
  for (const Json& element : value) {
    Prompt prompt;
    if (strings && element.is_string()) {
      prompt = element.get<std::string>();
    } else if (!strings && element.is_array()) {
      if (Failure failure = ReadTokens(field.name, element, prompt)) return failure;
    } else {
      return Wrong(field.name, kExpected, element);
    }
    request.prompts.push_back(std::move(prompt));
  }
  return {};
}

Failure ReadStop(const Field& field, const Json& value, CompletionRequest& request) {
  const Json list = value.is_string() ? Json::array({value}) : value;
  if (!list.is_array() || static_cast<double>(list.size()) > field.max) {
    return Wrong(field.name, fmt::format("a string or a list of at most {:.0f} strings", field.max),
                 value);
  }
  for (const Json& stop : list) {
    if (!stop.is_string() || stop.get_ref<const std::string&>().empty() ||
        stop.get_ref<const std::string&>().size() > kMaxStopBytes) {
      return Wrong(field.name, fmt::format("strings of 1 to {} bytes", kMaxStopBytes), stop);
    }
    request.sampling.stop.push_back(stop.get<std::string>());
  }
  return {};
}

// content: a string, a list of text parts, or null (an assistant's turn that only called tools).
Failure CheckContent(const std::string& place, const Json& message) {
  const Json* content = core::Find(message, "content");
  if (content == nullptr) {
    if (message["role"] == "assistant") return {};
    return Wrong(place, "a string or a list of text parts", nullptr);
  }
  if (content->is_string()) return {};
  if (!content->is_array()) return Wrong(place, "a string or a list of text parts", *content);
  for (const Json& part : *content) {
    const Json* type = core::Find(part, "type");
    if (type == nullptr || *type != "text") {
      return Wrong(place, "parts of type \"text\", which is all that this model reads",
                   type ? *type : part);
    }
    const Json* text = core::Find(part, "text");
    if (text == nullptr || !text->is_string())
      return Wrong(place, "a string in `text` of each part", text ? *text : Json());
  }
  return {};
}

Failure CheckMessages(const Field& field, const Json& value) {
  if (!value.is_array() || value.empty() || static_cast<double>(value.size()) > field.max) {
    return Wrong(field.name, fmt::format("a list of 1 to {:.0f} messages", field.max), value);
  }
  for (size_t i = 0; i < value.size(); ++i) {
    const std::string place = fmt::format("messages[{}]", i);
    const Json* role = core::Find(value[i], "role");
    if (role == nullptr || !role->is_string()) {
      return Wrong(place + ".role", "a string such as \"user\"", role ? *role : Json());
    }
    if (Failure failure = CheckContent(place + ".content", value[i])) return failure;
  }
  return {};
}

Failure ReadStreamOptions(const Field& field, const Json& value, CompletionRequest& request) {
  if (!value.is_object()) return Wrong(field.name, "an object", value);
  const Json* usage = core::Find(value, "include_usage");
  if (usage == nullptr) return {};
  if (!usage->is_boolean()) return Wrong("stream_options.include_usage", "true or false", *usage);
  request.include_usage = usage->get<bool>();
  return {};
}

Failure CheckScalar(const Field& field, const Json& value) {
  switch (field.type) {
    case FieldType::kBoolean:
      return value.is_boolean() ? Failure() : Wrong(field.name, "true or false", value);
    case FieldType::kText:
      return value.is_string() &&
                     static_cast<double>(value.get_ref<const std::string&>().size()) <= field.max
                 ? Failure()
                 : Wrong(field.name, fmt::format("a string of at most {:.0f} bytes", field.max),
                         value);
    case FieldType::kInteger:
      return value.is_number_integer() && InRange(field, value)
                 ? Failure()
                 : Wrong(field.name, Range(field), value);
    default:
      return value.is_number() && InRange(field, value) ? Failure()
                                                        : Wrong(field.name, Range(field), value);
  }
}

Failure ReadField(const Field& field, const Json& value, CompletionRequest& request) {
  switch (field.type) {
    case FieldType::kPrompt:
      return ReadPrompt(field, value, request);
    case FieldType::kStop:
      return ReadStop(field, value, request);
    case FieldType::kStreamOptions:
      return ReadStreamOptions(field, value, request);
    case FieldType::kMessages:
      if (Failure failure = CheckMessages(field, value)) return failure;
      break;
    default:
      if (Failure failure = CheckScalar(field, value)) return failure;
  }
  field.store(request, value);
  return {};
}

Failure RefuseUnsupported(const Json& document) {
  for (const RefusedField& refused : RefusedFields()) {
    const Json* value = core::Find(document, refused.name);
    if (value == nullptr) continue;
    bool harmless = false;
    for (const Json& nothing : Json::parse(refused.harmless)) harmless |= *value == nothing;
    if (harmless) continue;
    return ApiError{400,
                    fmt::format("{}: {} is not supported by this server; leave it out.",
                                refused.name, Got(*value)),
                    std::string(refused.name), "unsupported_parameter"};
  }
  return {};
}

}  // namespace

Failure ParseCompletionRequest(std::string_view body, Endpoint endpoint,
                               CompletionRequest& request) {
  const core::Result<Json> parsed = core::ParseJson(body);
  if (!parsed.ok())
    return ApiError{400, "The body is not valid JSON: " + parsed.error().message(), "", ""};
  const Json& document = parsed.value();
  if (!document.is_object()) return ApiError{400, "The body must be a JSON object.", "", ""};
  request.endpoint = endpoint;
  for (const Field& field : Fields()) {
    if ((field.endpoints & static_cast<uint8_t>(endpoint)) == 0) continue;
    const Json* value = core::Find(document, field.name);
    if (value != nullptr) {
      if (Failure failure = ReadField(field, *value, request)) return failure;
    } else if (field.default_value == "required") {
      return Wrong(field.name, "a value, for it is required", nullptr);
    }
  }
  if (request.top_logprob && request.sampling.temperature > 0) {
    return ApiError{
        400,
        "logprobs: 1 is supported with temperature 0 only; send 0 for the chosen tokens alone.",
        "logprobs", "unsupported_parameter"};
  }
  return RefuseUnsupported(document);
}

}  // namespace octavo::serve
