// The backend that runs a real model: its tokenizer, its chat template, and the scheduler of its
// engine.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "engine/scheduler.h"
#include "serve/backend.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace octavo::serve {

class EngineBackend : public Backend {
 public:
  // Tokenizer and scheduler must outlive the backend. Without a template, chats are refused.
  EngineBackend(const text::Tokenizer& tokenizer, std::optional<text::ChatTemplate> chat_template,
                engine::Scheduler& scheduler);

  core::Result<std::vector<text::TokenId>> Encode(std::string_view text, bool special) override;
  core::Result<std::string> RenderChat(const core::Json& messages) override;
  std::string TokenText(text::TokenId id) override;
  core::Result<engine::RequestId> Submit(engine::GenerationRequest request) override;
  void Cancel(engine::RequestId id) override;

 private:
  const text::Tokenizer& tokenizer_;
  const std::optional<text::ChatTemplate> chat_template_;
  engine::Scheduler& scheduler_;
};

}  // namespace octavo::serve
