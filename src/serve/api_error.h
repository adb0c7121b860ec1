// Errors as OpenAI's clients expect them: a status, and a JSON body whose `code` and `param`
// programs read.
#pragma once

#include <optional>
#include <string>

#include "core/json.h"
#include "net/http.h"

namespace octavo::serve {

struct ApiError {
  int status = 400;  // 5xx and 429 make clients try again, so what can never work is 4xx
  std::string message;
  std::string param;  // the field at fault; empty: none
  std::string code;   // e.g. "context_length_exceeded"; empty: none
};

// Nothing when all is well.
using Failure = std::optional<ApiError>;

// {"error": {"message", "type", "param", "code"}}; the type follows from the status.
core::Json ErrorJson(const ApiError& error);
// With the headers that the status asks for (Retry-After, WWW-Authenticate).
net::Response ErrorResponse(const ApiError& error);
net::Response JsonResponse(const core::Json& body);

}  // namespace octavo::serve
