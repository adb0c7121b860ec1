// Chat templates: the Jinja text of a checkpoint rendered by minijinja, with fuel and depth limits,
// because a template is a program from a file we do not trust.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/json.h"
#include "core/result.h"

namespace octavo::text {

// Immutable, thread-safe. Rendering is bounded in steps, output bytes, and depth; exceeding one is
// an Error.
class ChatTemplate {
 public:
  // From MODEL_DIR: chat_template.jinja, or `chat_template` of tokenizer_config.json (a string, or
  // a list of named ones of which "default" is taken). bos_token and eos_token come from
  // tokenizer_config.json. Nothing if it has none.
  static core::Result<std::optional<ChatTemplate>> Load(const std::string& model_dir);
  // Its Jinja text alone.
  static core::Result<std::optional<std::string>> LoadText(const std::string& model_dir);
  static core::Result<ChatTemplate> FromText(std::string template_text, std::string bos_token,
                                             std::string eos_token);

  // `messages`: a JSON array of {"role": ..., "content": ...} (content a string, null, or a list of
  // {"type": "text"} parts, which are joined by newlines); other members are passed through.
  // `tools` may be null.
  core::Result<std::string> Render(const core::Json& messages, bool add_generation_prompt,
                                   const core::Json& tools = nullptr) const;

 private:
  struct Handle;
  ChatTemplate(std::shared_ptr<const Handle> handle, std::string bos_token, std::string eos_token);
  std::shared_ptr<const Handle> handle_;
  std::string bos_token_;
  std::string eos_token_;
};

}  // namespace octavo::text
