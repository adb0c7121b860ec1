// The waiting HTTP/1.1 client: asynchronous Beast operations, each run to its end, because only
// those take a deadline.
#include "net/client.h"

#include <chrono>
#include <optional>
#include <utility>

#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <fmt/format.h>

#include "net/sse.h"

namespace octavo::net {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using asio::ip::tcp;
using boost::system::error_code;
using Parser = http::response_parser<http::string_body>;

http::request<http::string_body> ToBeast(const Request& request, std::string_view host) {
  http::request<http::string_body> out;
  out.version(11);
  out.method_string(request.method);
  out.target(request.target);
  out.set(http::field::host, host);
  for (const Header& header : request.headers) out.set(header.name, header.value);
  out.body() = request.body;
  out.prepare_payload();
  return out;
}

}  // namespace

struct Client::State {
  State(std::string the_host, int the_port, const ClientOptions& the_options)
      : host(std::move(the_host)), port(the_port), options(the_options) {}

  // Runs one operation: start(handler) begins it, handler(error, ...) ends it.
  template <typename Start>
  error_code Run(double seconds, Start&& start) {
    error_code result = asio::error::would_block;
    stream->expires_after(std::chrono::duration_cast<std::chrono::steady_clock::duration>(
        std::chrono::duration<double>(seconds)));
    start([&result](error_code error, auto&&...) { result = error; });
    io.restart();
    io.run();
    return result;
  }

  core::Error Fail(std::string_view what, const error_code& error) {
    Disconnect();
    return core::IoError(
        fmt::format("http://{}:{}: cannot {}: {}", host, port, what, error.message()));
  }

  void Disconnect() {
    stream.reset();
    buffer.clear();
  }

  core::Status Connect() {
    if (stream) return {};
    error_code error;
    tcp::resolver resolver(io);
    const auto found = resolver.resolve(host, std::to_string(port), error);
    if (error) return Fail("find the host", error);
    stream.emplace(io);
    error = Run(options.connect_seconds,
                [&](auto done) { stream->async_connect(found, std::move(done)); });
    if (error) return Fail("connect", error);
    stream->socket().set_option(tcp::no_delay(true), error);
    return {};
  }

  core::Result<Response> Exchange(const Request& request,
                                  const std::function<bool(std::string_view)>* on_event) {
    OCTAVO_RETURN_IF_ERROR(Connect());
    const auto message = ToBeast(request, fmt::format("{}:{}", host, port));
    error_code error = Run(options.quiet_seconds, [&](auto done) {
      http::async_write(*stream, message, std::move(done));
    });
    // A server that refuses a long body answers while it is still being sent: the answer is worth
    // reading.
    if (error && error != asio::error::broken_pipe && error != asio::error::connection_reset) {
      return Fail("send the request", error);
    }
    Parser parser;
    parser.body_limit(options.max_body_bytes);
    if (request.method == "HEAD") parser.skip(true);
    error = Run(options.quiet_seconds, [&](auto done) {
      http::async_read_header(*stream, buffer, parser, std::move(done));
    });
    if (error) return Fail("read the answer", error);
    return ReadBody(parser, on_event);
  }

  core::Result<Response> ReadBody(Parser& parser,
                                  const std::function<bool(std::string_view)>* on_event) {
    Response response;
    response.status = static_cast<int>(parser.get().result_int());
    for (const auto& field : parser.get()) {
      response.headers.push_back({std::string(field.name_string()), std::string(field.value())});
    }
    const std::string* type = FindHeader(response.headers, "Content-Type");
    const bool events =
        on_event != nullptr && type != nullptr && type->rfind("text/event-stream", 0) == 0;
    if (events) parser.body_limit(boost::none);
    SseParser sse;
    while (!parser.is_done()) {
      const error_code error = Run(options.quiet_seconds, [&](auto done) {
        http::async_read_some(*stream, buffer, parser, std::move(done));
      });
      if (error) return Fail("read the answer", error);
      if (!events) continue;
      const std::string bytes = std::exchange(parser.get().body(), {});
      auto found = sse.Feed(bytes);
      if (!found.ok()) {
        Disconnect();
        return std::move(found).error();
      }
      for (const std::string& data : found.value()) {
        if ((*on_event)(data)) continue;
        Disconnect();
        return response;
      }
    }
    response.body = std::move(parser.get().body());
    if (!parser.keep_alive()) Disconnect();
    return response;
  }

  std::string host;
  int port;
  ClientOptions options;
  asio::io_context io;
  std::optional<beast::tcp_stream> stream;
  beast::flat_buffer buffer;
};

Client::Client(std::string host, int port, const ClientOptions& options)
    : state_(std::make_unique<State>(std::move(host), port, options)) {}
Client::Client(Client&&) noexcept = default;
Client& Client::operator=(Client&&) noexcept = default;
Client::~Client() = default;

core::Result<Response> Client::Send(const Request& request) {
  try {
    return state_->Exchange(request, nullptr);
  } catch (const std::exception& error) {
    state_->Disconnect();
    return core::IoError(fmt::format("http://{}:{}: {}", state_->host, state_->port, error.what()));
  }
}

core::Result<Response> Client::Stream(const Request& request,
                                      const std::function<bool(std::string_view data)>& on_event) {
  try {
    return state_->Exchange(request, &on_event);
  } catch (const std::exception& error) {
    state_->Disconnect();
    return core::IoError(fmt::format("http://{}:{}: {}", state_->host, state_->port, error.what()));
  }
}

}  // namespace octavo::net
