// One request and its answer between two worlds: any thread puts bytes in, the connection's thread
// takes them out.
#pragma once

#include <cstddef>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>

#include "net/http.h"

namespace octavo::net {

// How the answer must be framed, which follows from the request.
struct Framing {
  bool http_1_1 = true;    // else no chunks: the end of a stream is the end of the connection
  bool head_only = false;  // HEAD: the body is not sent
  bool keep_alive = true;  // after this answer
};

// Thread-safe.
class Exchange {
 public:
  // `wake` is called (without a lock held, on any thread) when there is something new to take. A
  // stream whose bytes are not taken in time is cut off at `max_buffered_bytes`.
  Exchange(const Framing& framing, size_t max_buffered_bytes, std::function<void()> wake);

  // For the answering side; see Responder.
  void Send(const Response& response);
  void StartEvents(const Headers& headers);
  bool SendEvent(std::string_view data);
  void FinishEvents();
  void OnClose(std::function<void()> callback);
  void Abandon();
  bool closed() const;

  // For the connection. `finished`: these bytes are the last. `broken`: close the connection now.
  struct Output {
    std::string bytes;
    bool finished = false;
    bool broken = false;
    bool streaming = false;
  };
  Output Take();
  // A comment that keeps proxies from giving up on a quiet stream. Nothing if no stream is running.
  void KeepAlive();
  // The client is gone: runs the OnClose callback unless the answer was finished.
  void Close();
  bool keep_alive() const;

 private:
  enum class State { kWaiting, kStreaming, kFinished, kBroken, kClosed };
  void AppendHead(int status, const Headers& headers);
  void AppendChunk(std::string_view payload);

  const size_t max_buffered_bytes_;
  const std::function<void()> wake_;
  mutable std::mutex mutex_;
  Framing framing_;
  State state_ = State::kWaiting;
  std::string pending_;
  std::function<void()> on_close_;
};

}  // namespace octavo::net
