// The HTTP/1.1 server: one thread for all sockets, a few for the handlers, and a limit and a
// deadline for everything that a client may send or withhold.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "core/result.h"
#include "net/http.h"
#include "net/responder.h"

namespace octavo::net {

struct ServerOptions {
  std::string host = "127.0.0.1";  // an address, "localhost" (127.0.0.1), or a name that resolves
  int port = 0;                    // 0: the system picks one
  int handler_threads = 4;
  int64_t max_connections = 4096;               // more are told 503 and closed
  size_t max_header_bytes = size_t{32} << 10;   // request line and headers together: 431
  int64_t max_headers = 100;                    // 431
  size_t max_body_bytes = size_t{32} << 20;     // 413
  size_t max_bodies_bytes = size_t{256} << 20;  // of all requests together: 503
  size_t max_stream_bytes = size_t{256} << 10;  // of a stream that the client has not read: cut off
  double idle_seconds = 75;                     // between requests
  double header_seconds = 15;  // from the first byte of a request to the end of its headers: 408
  double body_seconds = 60;    // from there to the end of its body: 408
  double write_seconds = 30;   // for the client to read what was written at once
  double quiet_seconds = 15;   // a stream without events gets a comment this often
};

struct ServerHandlers {
  // Sees method, target, headers and peer before the body is read, on the sockets' thread: must be
  // fast. An answer refuses the request. May be empty.
  std::function<std::optional<Response>(const Request& head)> admit;
  // Sees whole requests that were admitted, on one of the handler threads. What it throws becomes a
  // 500.
  std::function<void(Request&& request, Responder responder)> handle;
  // The answer to what the server itself refuses (400, 408, 413, 431, 500, 501, 503). May be empty:
  // plain text.
  std::function<Response(int status, std::string_view message)> error;
};

// All methods are thread-safe.
class Server {
 public:
  // Binds, listens, and begins to answer. An Error names the address and what to do.
  static core::Result<std::unique_ptr<Server>> Start(ServerOptions options,
                                                     ServerHandlers handlers);
  // Closes all connections (OnClose callbacks run) and joins all threads.
  ~Server();

  int port() const;
  int64_t connections() const;
  // New requests get 503 from now on. Waits until those that run are answered, at most `seconds`;
  // true if all were.
  bool Drain(double seconds);

 private:
  struct State;
  explicit Server(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace octavo::net
