// HTTP messages as plain data: what the server hands to a handler and what a client gets back.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace octavo::net {

struct Header {
  std::string name;
  std::string value;
};
using Headers = std::vector<Header>;

// The value of the first header of that name (ASCII letters compared without case), or nullptr.
const std::string* FindHeader(const Headers& headers, std::string_view name);

struct Request {
  std::string method = "GET";
  std::string target = "/";  // as sent: path, and query if any
  Headers headers;
  std::string body;
  std::string peer;  // "127.0.0.1:51234"; empty in a client
};

struct Response {
  int status = 200;
  Headers headers;  // Content-Length and Connection are added by the server
  std::string body;
};

// "Not Found" for 404 (RFC 9110); "Unknown" for a status without a name.
std::string_view StatusText(int status);

// Equal when ASCII letters are compared without case.
bool EqualsIgnoreCase(std::string_view a, std::string_view b);

}  // namespace octavo::net
