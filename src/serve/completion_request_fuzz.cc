// Fuzzes the reading of completion requests: whatever comes is refused with a message that JSON can
// hold, or is in range.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/bytes.h"
#include "core/check.h"
#include "serve/completion_request.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace core = octavo::core;
  namespace serve = octavo::serve;
  namespace engine = octavo::engine;
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  for (const serve::Endpoint endpoint : {serve::Endpoint::kCompletions, serve::Endpoint::kChat}) {
    serve::CompletionRequest request;
    const serve::Failure failure = serve::ParseCompletionRequest(body, endpoint, request);
    if (failure) {
      OCTAVO_CHECK(failure->status == 400 && !failure->message.empty());
      OCTAVO_CHECK(core::IsUtf8(serve::ErrorResponse(*failure).body));
      continue;
    }
    OCTAVO_CHECK(engine::Validate(request.sampling).ok());
    OCTAVO_CHECK(request.max_tokens.value_or(1) >= 1);
    if (endpoint == serve::Endpoint::kChat) {
      OCTAVO_CHECK(request.messages.is_array() && !request.messages.empty());
    } else {
      OCTAVO_CHECK(!request.prompts.empty());
    }
  }
  return 0;
}
