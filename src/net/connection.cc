// One HTTP/1.1 connection on Boost.Asio callbacks: Beast parses requests; phases, limits and
// deadlines are here.
#include "net/connection.h"

#include <chrono>
#include <exception>

#include <fmt/format.h>

#include "core/log.h"

namespace octavo::net {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using asio::ip::tcp;
using boost::system::error_code;
using std::chrono::steady_clock;

// What may lie unparsed: pipelined requests while one is answered, or the line of a chunk that does
// not end.
constexpr size_t kMaxUnparsedBytes = size_t{64} << 10;
constexpr double kLingerSeconds = 5;

}  // namespace

Connection::Connection(tcp::socket socket, Loop& loop)
    : loop_(loop), socket_(std::move(socket)), timer_(*loop.io) {}

void Connection::Start() {
  error_code ignored;
  socket_.set_option(tcp::no_delay(true), ignored);
  socket_.non_blocking(true, ignored);
  const auto peer = socket_.remote_endpoint(ignored);
  peer_ = fmt::format("{}:{}", peer.address().to_string(ignored), peer.port());
  Idle();
}

void Connection::Close() {
  if (phase_ == Phase::kClosed) return;
  phase_ = Phase::kClosed;
  EndExchange();
  error_code ignored;
  socket_.close(ignored);
  timer_.cancel();
  loop_.connections.erase(shared_from_this());
  loop_.count.store(static_cast<int64_t>(loop_.connections.size()));
}

void Connection::Idle() {
  phase_ = Phase::kIdle;
  parser_.reset();
  if (input_.empty()) input_.shrink_to_fit();
  Arm(loop_.options.idle_seconds);
  Parse();
}

// Waits until there is something to read, in every phase: while a request is answered this is how
// a client that goes away is noticed. Nothing is allocated for a connection that only waits.
// Half-closed counts as gone.
void Connection::Wait() {
  const bool full = phase_ == Phase::kAnswering && input_.size() >= kMaxUnparsedBytes;
  if (waiting_ || full || phase_ == Phase::kClosed) return;
  waiting_ = true;
  socket_.async_wait(tcp::socket::wait_read, [self = shared_from_this()](error_code error) {
    self->waiting_ = false;
    if (self->phase_ == Phase::kClosed) return;
    if (error) return self->Close();
    self->Read();
  });
}

void Connection::Read() {
  error_code error;
  const size_t count = socket_.read_some(asio::buffer(loop_.block), error);
  if (error == asio::error::would_block || error == asio::error::interrupted) return Wait();
  if (error) return Close();
  if (phase_ != Phase::kLingering) input_.append(loop_.block.data(), count);
  Parse();
}

void Connection::Parse() {
  while (!input_.empty() && phase_ <= Phase::kBody) {
    if (phase_ == Phase::kIdle) BeginRequest();
    error_code error;
    const size_t used = parser_->put(asio::buffer(input_), error);
    input_.erase(0, used);
    // Beast's own limit holds for what one packet leaves unparsed, not for headers that come one
    // by one.
    if (phase_ == Phase::kHead && (head_bytes_ += used) > loop_.options.max_header_bytes) {
      error = http::error::header_limit;
    }
    if (error == http::error::need_more) {
      if (input_.size() >= kMaxUnparsedBytes) Refuse(400, "A line of the request does not end.");
      break;
    }
    if (error) {
      RefuseMalformed(error);
      break;
    }
    if (phase_ == Phase::kHead && parser_->is_header_done()) OnHead();
    if (phase_ == Phase::kBody && CountBody() && parser_->is_done()) Dispatch();
  }
  Wait();
}

void Connection::BeginRequest() {
  phase_ = Phase::kHead;
  head_bytes_ = 0;
  Arm(loop_.options.header_seconds);
  parser_.emplace();
  parser_->header_limit(static_cast<uint32_t>(loop_.options.max_header_bytes));
  parser_->body_limit(loop_.options.max_body_bytes);
}

void Connection::RefuseMalformed(error_code error) {
  if (error == http::error::header_limit) {
    return Refuse(431, fmt::format("The request line and headers are over {} bytes.",
                                   loop_.options.max_header_bytes));
  }
  if (error == http::error::body_limit) {
    return Refuse(413, fmt::format("The body is over {} bytes.", loop_.options.max_body_bytes));
  }
  Refuse(400, fmt::format("The request is not valid HTTP/1.1: {}.", error.message()));
}

void Connection::OnHead() {
  const auto& head = parser_->get();
  request_ = {};
  request_.method = head.method_string();
  request_.target = head.target();
  request_.peer = peer_;
  for (const auto& field : head) {
    request_.headers.push_back({std::string(field.name_string()), std::string(field.value())});
  }
  if (const std::optional<Response> refusal = RefuseHead()) return RefuseWith(*refusal, false);
  if (loop_.handlers.admit) {
    const std::optional<Response> refusal = loop_.handlers.admit(request_);
    // What is left of a request that was refused half-way cannot be told from the next one.
    if (refusal) return RefuseWith(*refusal, parser_->is_done() && parser_->keep_alive());
  }
  phase_ = Phase::kBody;
  Arm(loop_.options.body_seconds);
  parser_->eager(true);
  if (!parser_->is_done() &&
      EqualsIgnoreCase(std::string_view(head[http::field::expect]), "100-continue")) {
    Write("HTTP/1.1 100 Continue\r\n\r\n");
  }
}

// The answer to a request that this server cannot read, judged by its head.
std::optional<Response> Connection::RefuseHead() {
  const auto& head = parser_->get();
  const auto refuse = [this](int status, std::string_view message) {
    return loop_.ErrorResponse(status, message);
  };
  if (static_cast<int64_t>(request_.headers.size()) > loop_.options.max_headers) {
    return refuse(431, fmt::format("The request has over {} headers.", loop_.options.max_headers));
  }
  const size_t hosts = head.count(http::field::host);
  if (hosts > 1 || (hosts == 0 && head.version() >= 11)) {
    return refuse(400, "A request must have exactly one Host header.");
  }
  if (head.count(http::field::transfer_encoding) != 0 && !parser_->chunked()) {
    return refuse(501, "The only Transfer-Encoding that is understood is chunked.");
  }
  if (loop_.draining) return refuse(503, "The server is shutting down.");
  return std::nullopt;
}

// False when the request was refused, because bodies take more memory than the server has for
// them.
bool Connection::CountBody() {
  const size_t bytes = parser_->get().body().size();
  loop_.bodies_bytes += bytes - body_bytes_;
  body_bytes_ = bytes;
  if (loop_.bodies_bytes <= loop_.options.max_bodies_bytes) return true;
  Refuse(503, "The server is receiving too much at once; try again later.");
  return false;
}

void Connection::Dispatch() {
  request_.body = std::move(parser_->get().body());
  const auto responder = BeginAnswer(parser_->keep_alive());
  asio::post(loop_.workers, [&loop = loop_, request = std::move(request_), responder]() mutable {
    if (responder.closed()) return;
    try {
      loop.handlers.handle(std::move(request), responder);
    } catch (const std::exception& error) {
      core::LogError(fmt::format("A request handler threw: {}", error.what()));
      responder.Send(loop.ErrorResponse(500, "The server failed to handle the request."));
    } catch (...) {
      responder.Send(loop.ErrorResponse(500, "The server failed to handle the request."));
    }
  });
}

Responder Connection::BeginAnswer(bool keep_alive) {
  phase_ = Phase::kAnswering;
  timer_.cancel();
  Framing framing;
  // What could not be parsed has no version: it is answered like HTTP/1.1.
  framing.http_1_1 = !parser_->is_header_done() || parser_->get().version() >= 11;
  framing.head_only = parser_->is_header_done() && parser_->get().method() == http::verb::head;
  framing.keep_alive = keep_alive && !loop_.draining;
  exchange_ = std::make_shared<Exchange>(framing, loop_.options.max_stream_bytes,
                                         [weak = weak_from_this(), io = loop_.io] {
                                           asio::post(*io, [weak] {
                                             if (const auto self = weak.lock()) self->Flush();
                                           });
                                         });
  loop_.AddActive(1);
  return Responder(exchange_);
}

void Connection::Refuse(int status, std::string_view message) {
  RefuseWith(loop_.ErrorResponse(status, message), false);
}

void Connection::RefuseWith(const Response& response, bool keep_alive) {
  BeginAnswer(keep_alive).Send(response);
}

void Connection::Flush() {
  if (writing_ || !exchange_) return;
  Exchange::Output output = exchange_->Take();
  if (output.broken) return Close();
  if (!output.bytes.empty()) return Write(std::move(output.bytes));
  if (output.streaming) Arm(loop_.options.quiet_seconds);
  if (!output.finished) return;
  const bool keep_alive = exchange_->keep_alive() && !loop_.draining;
  EndExchange();
  if (keep_alive) return Idle();
  Linger();
}

void Connection::Write(std::string bytes) {
  writing_ = true;
  output_ = std::move(bytes);
  if (phase_ == Phase::kAnswering) Arm(loop_.options.write_seconds);
  asio::async_write(socket_, asio::buffer(output_),
                    [self = shared_from_this()](error_code error, size_t) {
                      self->writing_ = false;
                      self->output_.clear();
                      if (self->phase_ == Phase::kClosed) return;
                      if (error) return self->Close();
                      if (self->phase_ == Phase::kAnswering) self->timer_.cancel();
                      self->Flush();
                    });
}

void Connection::EndExchange() {
  loop_.bodies_bytes -= std::exchange(body_bytes_, 0);
  if (!exchange_) return;
  std::exchange(exchange_, nullptr)->Close();
  loop_.AddActive(-1);
}

// Closing a socket with unread input resets it, and the client might lose the answer: so the rest
// is read and thrown away.
void Connection::Linger() {
  phase_ = Phase::kLingering;
  input_.clear();
  error_code ignored;
  socket_.shutdown(tcp::socket::shutdown_send, ignored);
  Arm(kLingerSeconds);
  Wait();
}

void Connection::Arm(double seconds) {
  timer_.expires_after(
      std::chrono::duration_cast<steady_clock::duration>(std::chrono::duration<double>(seconds)));
  timer_.async_wait([self = shared_from_this()](error_code error) {
    if (!error && self->timer_.expiry() <= steady_clock::now()) self->OnDeadline();
  });
}

void Connection::OnDeadline() {
  switch (phase_) {
    case Phase::kHead:
      return Refuse(408, "The headers of the request took too long.");
    case Phase::kBody:
      return Refuse(408, "The body of the request took too long.");
    case Phase::kAnswering:
      if (writing_) return Close();
      if (exchange_) exchange_->KeepAlive();
      return Flush();
    default:
      return Close();
  }
}

}  // namespace octavo::net
