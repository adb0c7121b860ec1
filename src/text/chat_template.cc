#include "text/chat_template.h"

#include <fmt/format.h>

#include "core/bytes.h"
#include "core/file.h"
#include "text/bridge_reply.h"

namespace octavo::text {

using core::Find;
using core::Json;
using core::Result;

struct ChatTemplate::Handle {
  OctavoTemplate* pointer = nullptr;
  Handle() = default;
  ~Handle() { octavo_template_free(pointer); }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
};

namespace {

constexpr uint64_t kMaxTemplateBytes = uint64_t{1} << 20;

// A special token is a string or an object that holds it as "content".
std::string SpecialToken(const Json& config, std::string_view key) {
  const Json* token = Find(config, key);
  if (token != nullptr && token->is_object()) token = Find(*token, "content");
  return token != nullptr && token->is_string() ? token->get<std::string>() : std::string();
}

// The template in a tokenizer_config.json: a string, or a list of {"name", "template"}.
Result<std::optional<std::string>> TemplateOf(const Json& config) {
  const Json* const value = Find(config, "chat_template");
  if (value == nullptr) return std::optional<std::string>();
  if (value->is_string()) return std::optional<std::string>(value->get<std::string>());
  if (!value->is_array()) {
    return core::Invalid("field 'chat_template' must be a string or a list of named templates");
  }
  for (const Json& entry : *value) {
    OCTAVO_TRY(const std::string name, core::GetString(entry, "name"));
    if (name != "default") continue;
    OCTAVO_TRY(std::string text, core::GetString(entry, "template"));
    return std::optional<std::string>(std::move(text));
  }
  return core::NotFound("field 'chat_template' has no template of the name 'default'");
}

// `content` as templates expect it: a string or null.
Result<Json> FlatContent(const Json& content) {
  if (content.is_string() || content.is_null()) return content;
  if (!content.is_array()) return core::Invalid("field 'content' must be a string or a list");
  std::string text;
  bool first = true;
  for (const Json& part : content) {
    OCTAVO_TRY(const std::string type, core::GetString(part, "type"));
    if (type != "text") {
      return core::Unsupported(fmt::format("content of type '{}' is not supported, only 'text' is",
                                           core::Printable(type)));
    }
    OCTAVO_TRY(const std::string piece, core::GetString(part, "text"));
    if (!std::exchange(first, false)) text += '\n';
    text += piece;
  }
  return Json(std::move(text));
}

Result<Json> FlatMessages(const Json& messages) {
  if (!messages.is_array()) return core::Invalid("'messages' must be a list");
  Json flat = Json::array();
  for (const Json& message : messages) {
    const std::string place = fmt::format("messages[{}]", flat.size());
    core::Result<std::string> role = core::GetString(message, "role").Context(place);
    if (!role.ok()) return std::move(role).error();
    Json copy = message;
    if (copy.contains("content")) {
      OCTAVO_TRY(copy["content"], FlatContent(message["content"]).Context(place));
    }
    flat.push_back(std::move(copy));
  }
  return flat;
}

}  // namespace

ChatTemplate::ChatTemplate(std::shared_ptr<const Handle> handle, std::string bos_token,
                           std::string eos_token)
    : handle_(std::move(handle)),
      bos_token_(std::move(bos_token)),
      eos_token_(std::move(eos_token)) {}

Result<ChatTemplate> ChatTemplate::FromText(std::string template_text, std::string bos_token,
                                            std::string eos_token) {
  auto handle = std::make_shared<Handle>();
  const BridgeReply reply(
      octavo_template_new(Data(template_text), template_text.size(), &handle->pointer));
  if (!reply.ok()) return reply.Error().Context("not a usable chat template");
  return ChatTemplate(std::move(handle), std::move(bos_token), std::move(eos_token));
}

namespace {

constexpr char kConfigName[] = "tokenizer_config.json";

Result<Json> ReadConfig(const std::string& model_dir) {
  const std::string path = core::JoinPath(model_dir, kConfigName);
  if (!core::FileExists(path)) return Json(Json::object());
  return core::ReadJsonFile(path);
}

// Where the template of a folder stands.
std::string SourceOf(const std::string& model_dir) {
  std::string jinja = core::JoinPath(model_dir, "chat_template.jinja");
  return core::FileExists(jinja) ? jinja : core::JoinPath(model_dir, kConfigName);
}

}  // namespace

Result<std::optional<std::string>> ChatTemplate::LoadText(const std::string& model_dir) {
  const std::string source = SourceOf(model_dir);
  if (source.ends_with(kConfigName)) {
    OCTAVO_TRY(const Json config, ReadConfig(model_dir));
    return TemplateOf(config).Context(source);
  }
  OCTAVO_TRY(std::string text, core::ReadFile(source, kMaxTemplateBytes));
  return std::optional<std::string>(std::move(text));
}

Result<std::optional<ChatTemplate>> ChatTemplate::Load(const std::string& model_dir) {
  OCTAVO_TRY(const Json config, ReadConfig(model_dir));
  OCTAVO_TRY(auto text, LoadText(model_dir));
  if (!text) return std::optional<ChatTemplate>();
  OCTAVO_TRY(ChatTemplate made, FromText(*std::move(text), SpecialToken(config, "bos_token"),
                                         SpecialToken(config, "eos_token"))
                                    .Context(SourceOf(model_dir)));
  return std::optional<ChatTemplate>(std::move(made));
}

Result<std::string> ChatTemplate::Render(const Json& messages, bool add_generation_prompt,
                                         const Json& tools) const {
  Json context = Json::object();
  OCTAVO_TRY(context["messages"], FlatMessages(messages));
  context["tools"] = tools;
  context["documents"] = nullptr;
  context["add_generation_prompt"] = add_generation_prompt;
  // A token that the model does not have stays undefined, as templates test for it.
  if (!bos_token_.empty()) context["bos_token"] = bos_token_;
  if (!eos_token_.empty()) context["eos_token"] = eos_token_;
  const std::string json = core::DumpJsonLine(context);
  const BridgeReply reply(octavo_template_render(handle_->pointer, Data(json), json.size()));
  if (!reply.ok()) return reply.Error().Context("the chat template failed");
  return reply.Text();
}

}  // namespace octavo::text
