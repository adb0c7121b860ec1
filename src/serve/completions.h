// From the body of a completion request to generations on a backend.
#pragma once

#include <string_view>

#include "net/responder.h"
#include "serve/backend.h"
#include "serve/completion_request.h"

namespace octavo::serve {

// Checks `body`, makes token ids of its prompts, checks that they fit, and submits them. The
// answer, be it an error, goes to `responder`, errors that the request causes before anything else.
// Thread-safe.
void HandleCompletion(std::string_view body, Endpoint endpoint, const ServedModel& model,
                      Backend& backend, const net::Responder& responder);

}  // namespace octavo::serve
