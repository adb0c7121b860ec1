// The backend that runs a real model.
#include "serve/engine_backend.h"

#include <utility>

namespace octavo::serve {

EngineBackend::EngineBackend(const text::Tokenizer& tokenizer,
                             std::optional<text::ChatTemplate> chat_template,
                             engine::Scheduler& scheduler)
    : tokenizer_(tokenizer), chat_template_(std::move(chat_template)), scheduler_(scheduler) {}

core::Result<std::vector<text::TokenId>> EngineBackend::Encode(std::string_view text,
                                                               bool special) {
  return tokenizer_.Encode(text, special);
}

core::Result<std::string> EngineBackend::RenderChat(const core::Json& messages) {
  if (!chat_template_) {
    return core::Unsupported("this model has no chat template; use /v1/completions");
  }
  return chat_template_->Render(messages, /*add_generation_prompt=*/true);
}

std::string EngineBackend::TokenText(text::TokenId id) {
  auto text = tokenizer_.Decode({&id, 1}, /*skip_special_tokens=*/false);
  return text.ok() ? std::move(text).value() : std::string();
}

core::Result<engine::RequestId> EngineBackend::Submit(engine::GenerationRequest request) {
  return scheduler_.Submit(std::move(request));
}

void EngineBackend::Cancel(engine::RequestId id) {
  scheduler_.Cancel(id);
}

}  // namespace octavo::serve
