// One request and its answer: framing of whole answers and of event streams, and the states they go
// through.
#include "net/exchange.h"

#include <utility>

#include <fmt/format.h>

#include "net/responder.h"
#include "net/sse.h"

namespace octavo::net {

Exchange::Exchange(const Framing& framing, size_t max_buffered_bytes, std::function<void()> wake)
    : max_buffered_bytes_(max_buffered_bytes), wake_(std::move(wake)), framing_(framing) {}

void Exchange::AppendHead(int status, const Headers& headers) {
  pending_ += fmt::format("HTTP/1.1 {} {}\r\nConnection: {}\r\n", status, StatusText(status),
                          framing_.keep_alive ? "keep-alive" : "close");
  for (const Header& header : headers) {
    // A value with a line break would let whoever chose it write headers of his own.
    if ((header.name + header.value).find_first_of(std::string_view("\r\n\0", 3)) !=
        std::string::npos)
      continue;
    pending_ += fmt::format("{}: {}\r\n", header.name, header.value);
  }
}

void Exchange::AppendChunk(std::string_view payload) {
  if (framing_.http_1_1) {
    pending_ += fmt::format("{:x}\r\n{}\r\n", payload.size(), payload);
  } else {
    pending_ += payload;
  }
}

void Exchange::Send(const Response& response) {
  std::function<void()>
      dropped;  // may own a Responder to this exchange: destroyed without the lock
  {
    const std::lock_guard lock(mutex_);
    if (state_ != State::kWaiting) return;
    AppendHead(response.status, response.headers);
    pending_ += fmt::format("Content-Length: {}\r\n\r\n", response.body.size());
    if (!framing_.head_only) pending_ += response.body;
    state_ = State::kFinished;
    dropped.swap(on_close_);
  }
  wake_();
}

void Exchange::StartEvents(const Headers& headers) {
  {
    const std::lock_guard lock(mutex_);
    if (state_ != State::kWaiting) return;
    if (!framing_.http_1_1) framing_.keep_alive = false;
    AppendHead(200, headers);
    pending_ += "Content-Type: text/event-stream; charset=utf-8\r\nCache-Control: no-cache\r\n";
    pending_ +=
        "X-Accel-Buffering: no\r\n";  // nginx would else collect the stream before passing it on
    if (framing_.http_1_1) pending_ += "Transfer-Encoding: chunked\r\n";
    pending_ += "\r\n";
    state_ = State::kStreaming;
  }
  wake_();
}

bool Exchange::SendEvent(std::string_view data) {
  bool fits = true;
  {
    const std::lock_guard lock(mutex_);
    if (state_ != State::kStreaming) return false;
    fits = pending_.size() + data.size() <= max_buffered_bytes_;
    if (fits) {
      AppendChunk(SseEvent(data));
    } else {
      state_ = State::kBroken;
    }
  }
  wake_();
  return fits;
}

void Exchange::FinishEvents() {
  std::function<void()> dropped;
  {
    const std::lock_guard lock(mutex_);
    if (state_ != State::kStreaming) return;
    if (framing_.http_1_1) pending_ += "0\r\n\r\n";
    state_ = State::kFinished;
    dropped.swap(on_close_);
  }
  wake_();
}

void Exchange::Abandon() {
  bool unanswered = false;
  {
    const std::lock_guard lock(mutex_);
    unanswered = state_ == State::kWaiting;
    if (state_ == State::kStreaming) state_ = State::kBroken;
  }
  if (unanswered) {
    Send({500, {{"Content-Type", "text/plain"}}, "The request was dropped without an answer.\n"});
  } else {
    wake_();
  }
}

void Exchange::OnClose(std::function<void()> callback) {
  {
    const std::lock_guard lock(mutex_);
    if (state_ == State::kFinished) return;
    if (state_ != State::kClosed) {
      on_close_ = std::move(callback);
      return;
    }
  }
  callback();
}

bool Exchange::closed() const {
  const std::lock_guard lock(mutex_);
  return state_ != State::kWaiting && state_ != State::kStreaming;
}

Exchange::Output Exchange::Take() {
  const std::lock_guard lock(mutex_);
  return {std::exchange(pending_, {}), state_ == State::kFinished, state_ == State::kBroken,
          state_ == State::kStreaming};
}

void Exchange::KeepAlive() {
  const std::lock_guard lock(mutex_);
  if (state_ == State::kStreaming) AppendChunk(": keep-alive\n\n");
}

void Exchange::Close() {
  std::function<void()> callback;
  {
    const std::lock_guard lock(mutex_);
    if (state_ == State::kFinished) return;
    state_ = State::kClosed;
    callback = std::exchange(on_close_, nullptr);
  }
  if (callback) callback();
}

bool Exchange::keep_alive() const {
  const std::lock_guard lock(mutex_);
  return framing_.keep_alive;
}

struct Responder::Handle {
  explicit Handle(std::shared_ptr<Exchange> to) : exchange(std::move(to)) {}
  ~Handle() { exchange->Abandon(); }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  std::shared_ptr<Exchange> exchange;
};

Responder::Responder(std::shared_ptr<Exchange> exchange)
    : handle_(std::make_shared<Handle>(std::move(exchange))) {}
void Responder::Send(const Response& response) const {
  handle_->exchange->Send(response);
}
void Responder::StartEvents(const Headers& headers) const {
  handle_->exchange->StartEvents(headers);
}
bool Responder::SendEvent(std::string_view data) const {
  return handle_->exchange->SendEvent(data);
}
void Responder::FinishEvents() const {
  handle_->exchange->FinishEvents();
}
void Responder::OnClose(std::function<void()> callback) const {
  handle_->exchange->OnClose(std::move(callback));
}
bool Responder::closed() const {
  return handle_->exchange->closed();
}

}  // namespace octavo::net
