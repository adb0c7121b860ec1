// Who may call: keys, hosts and origins.
#include "serve/access.h"

#include <algorithm>

#include "core/bytes.h"
#include "core/hash.h"

namespace octavo::serve {
namespace {

// "127.0.0.1:8080" -> "127.0.0.1", "[::1]:8080" -> "::1"
std::string_view HostOfAuthority(std::string_view authority) {
  if (authority.substr(0, 1) == "[") return authority.substr(1, authority.find(']') - 1);
  return authority.substr(0, authority.find(':'));
}

bool SameOrigin(std::string_view origin, std::string_view host) {
  const size_t scheme = origin.find("://");
  return scheme != std::string_view::npos && net::EqualsIgnoreCase(origin.substr(scheme + 3), host);
}

std::string_view BearerToken(const net::Request& request) {
  constexpr std::string_view kScheme = "Bearer ";
  const std::string* header = net::FindHeader(request.headers, "Authorization");
  if (header == nullptr) return {};
  const std::string_view value = *header;
  if (!net::EqualsIgnoreCase(value.substr(0, kScheme.size()), kScheme)) return {};
  return value.substr(kScheme.size());
}

}  // namespace

bool IsLoopbackHost(std::string_view host) {
  return net::EqualsIgnoreCase(host, "localhost") || host == "127.0.0.1" || host == "::1";
}

core::Status CheckExposure(std::string_view host, std::string_view api_key) {
  if (api_key.empty() && !IsLoopbackHost(host)) {
    return core::Usage("--host " + core::Printable(host) +
                       " is reachable from other machines, and there is no API key; give one with "
                       "--api-key-file, or "
                       "listen on 127.0.0.1");
  }
  if (!std::all_of(api_key.begin(), api_key.end(), [](char c) { return c > ' ' && c < 0x7F; })) {
    return core::Invalid(
        "the API key has a space or a character that is not printable ASCII; no client could send "
        "it");
  }
  return {};
}

bool KeysEqual(std::string_view given, std::string_view expected) {
  // Digests have one length, and the loop has no early end.
  const std::string a = core::Sha256Hex(given);
  const std::string b = core::Sha256Hex(expected);
  unsigned difference = 0;
  for (size_t i = 0; i < a.size(); ++i) difference |= static_cast<unsigned char>(a[i] ^ b[i]);
  return difference == 0;
}

Failure CheckAccess(const net::Request& request, std::string_view api_key, bool needs_key) {
  const std::string* host = net::FindHeader(request.headers, "Host");
  const std::string_view authority = host == nullptr ? std::string_view() : *host;
  const std::string* origin = net::FindHeader(request.headers, "Origin");
  if (origin != nullptr && !SameOrigin(*origin, authority)) {
    return ApiError{403, "Requests from web pages of other origins are refused.", "",
                    "origin_not_allowed"};
  }
  if (api_key.empty()) {
    if (IsLoopbackHost(HostOfAuthority(authority))) return {};
    return ApiError{403,
                    "Without an API key this server answers only to the host names localhost, "
                    "127.0.0.1 and [::1].",
                    "", "host_not_allowed"};
  }
  if (!needs_key || KeysEqual(BearerToken(request), api_key)) return {};
  return ApiError{401, "Incorrect or missing API key; send it as 'Authorization: Bearer KEY'.", "",
                  "invalid_api_key"};
}

}  // namespace octavo::serve
