// A small HTTP/1.1 client that waits: whole answers and event streams, over one connection that is
// kept open.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "core/result.h"
#include "net/http.h"

namespace octavo::net {

struct ClientOptions {
  double connect_seconds = 10;
  double quiet_seconds = 300;  // the longest silence of the server in the middle of a request
  size_t max_body_bytes = size_t{256} << 20;  // of an answer that is no event stream
};

// Plain HTTP to one host and port. Not thread-safe: one request at a time.
class Client {
 public:
  Client(std::string host, int port, const ClientOptions& options = {});
  Client(Client&&) noexcept;
  Client& operator=(Client&&) noexcept;
  ~Client();

  // Connects if need be, sends, and waits for the whole answer. Host and Content-Length are added
  // unless given. An Error (with host and port in it) closes the connection, and the next call
  // opens a new one.
  core::Result<Response> Send(const Request& request);
  // The same; the data of each event of a text/event-stream goes to `on_event` as it comes instead
  // of into the body. When on_event returns false, the connection is closed and what has come so
  // far is returned.
  core::Result<Response> Stream(const Request& request,
                                const std::function<bool(std::string_view data)>& on_event);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace octavo::net
