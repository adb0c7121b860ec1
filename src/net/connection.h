// The inside of the server, for connection.cc and server.cc only (the one header with Boost in it):
// what all connections share, and one connection.
#pragma once

#include <array>
#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>

#include <boost/asio.hpp>
#include <boost/beast/http.hpp>

#include "net/exchange.h"
#include "net/server.h"

namespace octavo::net {

class Connection;

// What all connections share. Everything but the atomics, `active` and `io` belongs to the sockets'
// thread.
struct Loop {
  ServerOptions options;
  ServerHandlers handlers;
  // Shared with exchanges, because a responder may outlive the server.
  std::shared_ptr<boost::asio::io_context> io = std::make_shared<boost::asio::io_context>(1);
  boost::asio::thread_pool workers;
  std::unordered_set<std::shared_ptr<Connection>> connections;
  // One thread reads, so one buffer serves all connections.
  std::array<char, size_t{64} << 10> block;
  size_t bodies_bytes = 0;
  std::atomic<bool> draining{false};
  std::atomic<int64_t> count{0};
  std::mutex mutex;
  std::condition_variable changed;
  int64_t active = 0;  // requests being answered, under `mutex`

  Loop(ServerOptions the_options, ServerHandlers the_handlers)
      : options(std::move(the_options)),
        handlers(std::move(the_handlers)),
        workers(static_cast<size_t>(options.handler_threads)) {}

  void AddActive(int64_t change) {
    const std::lock_guard lock(mutex);
    active += change;
    changed.notify_all();
  }
  Response ErrorResponse(int status, std::string_view message) const {
    if (handlers.error) return handlers.error(status, message);
    return {status, {{"Content-Type", "text/plain"}}, std::string(message) + "\n"};
  }
};

// One client's socket. All methods run on the sockets' thread.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(boost::asio::ip::tcp::socket socket, Loop& loop);
  void Start();
  void Close();

 private:
  enum class Phase { kIdle, kHead, kBody, kAnswering, kLingering, kClosed };
  using Parser = boost::beast::http::request_parser<boost::beast::http::string_body>;

  // Reading.
  void Idle();
  void Wait();
  void Read();
  void Parse();
  void BeginRequest();
  void OnHead();
  std::optional<Response> RefuseHead();
  bool CountBody();
  void Dispatch();
  // Answering.
  Responder BeginAnswer(bool keep_alive);
  void Refuse(int status, std::string_view message);
  void RefuseWith(const Response& response, bool keep_alive);
  void RefuseMalformed(boost::system::error_code error);
  void Flush();
  void Write(std::string bytes);
  void EndExchange();
  void Linger();
  // Deadlines.
  void Arm(double seconds);
  void OnDeadline();

  Loop& loop_;
  boost::asio::ip::tcp::socket socket_;
  boost::asio::steady_timer timer_;
  std::string peer_;
  Phase phase_ = Phase::kIdle;
  bool waiting_ = false;
  bool writing_ = false;
  std::string input_;   // read but not parsed
  std::string output_;  // being written
  std::optional<Parser> parser_;
  Request request_;
  size_t head_bytes_ = 0;  // parsed so far
  size_t body_bytes_ = 0;  // this request's part of loop_.bodies_bytes
  std::shared_ptr<Exchange> exchange_;
};

}  // namespace octavo::net
