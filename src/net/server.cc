// The HTTP/1.1 server: listening, accepting, and the life of its threads.
#include "net/server.h"

#include <chrono>
#include <exception>
#include <thread>
#include <utility>

#include <fmt/format.h>

#include "core/log.h"
#include "net/connection.h"

namespace octavo::net {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

core::Result<tcp::endpoint> Resolve(asio::io_context& io, const ServerOptions& options) {
  const std::string host = options.host == "localhost" ? "127.0.0.1" : options.host;
  error_code error;
  tcp::resolver resolver(io);
  const auto found = resolver.resolve(host, std::to_string(options.port), error);
  if (error || found.empty()) {
    return core::Invalid(fmt::format("cannot find host '{}': {}; give an address of this machine",
                                     host, error.message()));
  }
  return found.begin()->endpoint();
}

core::Error CannotListen(const tcp::endpoint& endpoint, const error_code& error) {
  return core::IoError(fmt::format("cannot listen on {}:{}: {}; choose another host or port",
                                   endpoint.address().to_string(), endpoint.port(),
                                   error.message()));
}

}  // namespace

struct Server::State {
  State(ServerOptions options, ServerHandlers handlers)
      : loop(std::move(options), std::move(handlers)), acceptor(*loop.io), retry(*loop.io) {}

  core::Status Listen() {
    OCTAVO_TRY(const tcp::endpoint endpoint, Resolve(*loop.io, loop.options));
    error_code error;
    acceptor.open(endpoint.protocol(), error);
    if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
    if (!error) acceptor.bind(endpoint, error);
    if (!error) acceptor.listen(1024, error);
    if (error) return CannotListen(endpoint, error);
    port = acceptor.local_endpoint(error).port();
    return {};
  }

  void Accept() {
    acceptor.async_accept([this](error_code error, tcp::socket socket) {
      if (!acceptor.is_open()) return;
      if (error) {
        // Most likely no file descriptor is left: wait for some to be closed.
        retry.expires_after(std::chrono::milliseconds(50));
        return retry.async_wait([this](error_code stopped) {
          if (!stopped && acceptor.is_open()) Accept();
        });
      }
      Welcome(std::move(socket));
      Accept();
    });
  }

  void Welcome(tcp::socket socket) {
    if (static_cast<int64_t>(loop.connections.size()) >= loop.options.max_connections) {
      constexpr std::string_view kFull =
          "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: "
          "1\r\nContent-Length: 0\r\n\r\n";
      error_code ignored;
      socket.non_blocking(true, ignored);
      socket.write_some(asio::buffer(kFull), ignored);
      return;
    }
    const auto connection = std::make_shared<Connection>(std::move(socket), loop);
    loop.connections.insert(connection);
    loop.count.store(static_cast<int64_t>(loop.connections.size()));
    connection->Start();
  }

  void Run() {
    for (;;) {
      try {
        loop.io->run();
        return;
      } catch (const std::exception& error) {
        core::LogError(fmt::format("The server's socket thread caught: {}", error.what()));
      }
    }
  }

  void CloseAll() {
    error_code ignored;
    acceptor.close(ignored);
    retry.cancel();
    const auto connections = loop.connections;
    for (const auto& connection : connections) connection->Close();
  }

  Loop loop;
  tcp::acceptor acceptor;
  asio::steady_timer retry;
  int port = 0;
  std::thread thread;
};

core::Result<std::unique_ptr<Server>> Server::Start(ServerOptions options,
                                                    ServerHandlers handlers) {
  try {
    auto state = std::make_unique<State>(std::move(options), std::move(handlers));
    OCTAVO_RETURN_IF_ERROR(state->Listen());
    state->Accept();
    state->thread = std::thread([raw = state.get()] { raw->Run(); });
    return std::unique_ptr<Server>(new Server(std::move(state)));
  } catch (const std::exception& error) {
    return core::IoError(fmt::format("cannot start the server: {}", error.what()));
  }
}

Server::Server(std::unique_ptr<State> state) : state_(std::move(state)) {}

Server::~Server() {
  asio::post(*state_->loop.io, [state = state_.get()] { state->CloseAll(); });
  state_->loop.workers.join();
  state_->thread.join();
}

int Server::port() const {
  return state_->port;
}

int64_t Server::connections() const {
  return state_->loop.count.load();
}

bool Server::Drain(double seconds) {
  Loop& loop = state_->loop;
  loop.draining = true;
  std::unique_lock lock(loop.mutex);
  return loop.changed.wait_for(lock, std::chrono::duration<double>(seconds),
                               [&loop] { return loop.active == 0; });
}

}  // namespace octavo::net
