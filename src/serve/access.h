// Who may call: the key, and for servers without one the defences against web pages that reach for
// localhost.
#pragma once

#include <string>
#include <string_view>

#include "core/result.h"
#include "net/http.h"
#include "serve/api_error.h"

namespace octavo::serve {

// localhost, 127.0.0.1 and ::1; any other name is taken to be reachable from outside.
bool IsLoopbackHost(std::string_view host);

// An Error when `host` is reachable from outside and there is no key, or when the key cannot be
// sent in a header.
core::Status CheckExposure(std::string_view host, std::string_view api_key);

// Takes the same time wherever the two differ, and whatever their lengths.
bool KeysEqual(std::string_view given, std::string_view expected);

// Refuses a request that a browser sends for another site's page (Origin is not the Host), one
// whose Host is not a loopback name while there is no key (DNS rebinding), and, if `needs_key` and
// there is one, any without the right key.
Failure CheckAccess(const net::Request& request, std::string_view api_key, bool needs_key);

}  // namespace octavo::serve
