// Errors as OpenAI's clients expect them.
#include "serve/api_error.h"

namespace octavo::serve {
namespace {

const char* ErrorType(int status) {
  switch (status) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 429:
      return "rate_limit_error";
    case 503:
      return "unavailable_error";
    default:
      return status >= 500 ? "server_error" : "invalid_request_error";
  }
}

core::Json TextOrNull(const std::string& text) {
  return text.empty() ? core::Json(nullptr) : core::Json(text);
}

}  // namespace

core::Json ErrorJson(const ApiError& error) {
  // The code falls back to the status, as llama-server does for "Loading model".
  const core::Json code =
      error.code.empty() && error.status >= 500 ? core::Json(error.status) : TextOrNull(error.code);
  return {{"error",
           {{"message", error.message},
            {"type", ErrorType(error.status)},
            {"param", TextOrNull(error.param)},
            {"code", code}}}};
}

net::Response JsonResponse(const core::Json& body) {
  return {200, {{"Content-Type", "application/json"}}, core::DumpJsonLine(body)};
}

net::Response ErrorResponse(const ApiError& error) {
  net::Response response = JsonResponse(ErrorJson(error));
  response.status = error.status;
  if (error.status == 429 || error.status == 503) response.headers.push_back({"Retry-After", "1"});
  if (error.status == 401) response.headers.push_back({"WWW-Authenticate", "Bearer"});
  return response;
}

}  // namespace octavo::serve
