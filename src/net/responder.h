// The answer to one request, as the code that makes it sees it: sent whole or as a stream of
// events, from any thread.
#pragma once

#include <functional>
#include <memory>
#include <string_view>

#include "net/http.h"

namespace octavo::net {

class Exchange;

// A copyable handle; every method is thread-safe and returns without waiting for the network. When
// the last copy goes away before anything was sent, the client gets a 500; when it goes away in the
// middle of a stream, the connection is closed. It may outlive the server; it then does nothing.
class Responder {
 public:
  explicit Responder(std::shared_ptr<Exchange> exchange);

  // The whole answer. Ignored when the request has been answered already.
  void Send(const Response& response) const;
  // Begins a stream of server-sent events with status 200; `headers` are added to the usual ones.
  void StartEvents(const Headers& headers = {}) const;
  // Adds one event. False when nobody listens any more: the client is gone, or so slow that its
  // buffer is full (then it is cut off), or the stream has not begun or is over.
  bool SendEvent(std::string_view data) const;
  // The end of the stream.
  void FinishEvents() const;
  // Calls `callback` once, on some thread, if the client goes away before the answer is finished;
  // at once if it already has.
  void OnClose(std::function<void()> callback) const;
  // True when the client is gone or the answer is finished.
  bool closed() const;

 private:
  struct Handle;
  std::shared_ptr<Handle> handle_;
};

}  // namespace octavo::net
