// What the API needs of a model: five functions, so that its protocol can be tested without one.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "core/json.h"
#include "core/result.h"
#include "engine/scheduler.h"

namespace octavo::serve {

// All methods are thread-safe.
class Backend {
 public:
  virtual ~Backend() = default;
  // Ids of UTF-8 `text`, with what the tokenizer adds (BOS and the like) when `special`.
  virtual core::Result<std::vector<text::TokenId>> Encode(std::string_view text, bool special) = 0;
  // The prompt that the model's chat template makes of `messages`; any error is the messages'
  // fault.
  virtual core::Result<std::string> RenderChat(const core::Json& messages) = 0;
  // The text of one token, special ones included.
  virtual std::string TokenText(text::TokenId id) = 0;
  // As engine::Scheduler.
  virtual core::Result<engine::RequestId> Submit(engine::GenerationRequest request) = 0;
  virtual void Cancel(engine::RequestId id) = 0;
};

// What is served, beside the backend that runs it.
struct ServedModel {
  std::string name;     // the id in /v1/models and the `model` that requests must name
  int64_t context = 0;  // positions of prompt and completion together
  int64_t created = 0;  // seconds since 1970
  std::function<core::Json()> kernel_report;  // the body of GET /octavo/kernels; thread-safe
};

}  // namespace octavo::serve
