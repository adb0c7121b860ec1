// The OpenAI-compatible server: routes, admission, and the way from a request to the model.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "serve/backend.h"

namespace octavo::serve {

struct ApiOptions {
  std::string host = "127.0.0.1";
  int port = 8080;      // 0: the system picks one
  std::string api_key;  // empty: none, and then only loopback hosts
};

// One line of the routing table; what is not in it does not exist, and needs the key all the same.
struct Route {
  std::string_view method;
  std::string_view path;
  bool needs_key;  // if the server has one
};
std::vector<Route> Routes();

// All methods are thread-safe.
class ApiServer {
 public:
  // Binds and listens; everything is answered with 503 until Serve. A non-loopback host without a
  // key is a Usage error.
  static core::Result<std::unique_ptr<ApiServer>> Start(const ApiOptions& options);
  // Closes all connections; requests that still run are cancelled.
  ~ApiServer();

  // From now on requests reach `backend`, which must outlive this server. Once only.
  void Serve(ServedModel model, Backend& backend);
  int port() const;
  // New requests get 503 from now on; waits for those that run, at most `seconds`. True if all were
  // answered.
  bool Drain(double seconds);

 private:
  struct State;
  explicit ApiServer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace octavo::serve
