// Server-sent events (WHATWG HTML, section 9.2): writing one event, and reading a stream of them.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"

namespace octavo::net {

// One event: a "data: " line for each line of `data`, then an empty line.
std::string SseEvent(std::string_view data);

// Cuts a stream of bytes into events; only their data is kept. One per stream; not thread-safe.
class SseParser {
 public:
  // An event with more data than `max_event_bytes` is an Error.
  explicit SseParser(size_t max_event_bytes = size_t{16} << 20)
      : max_event_bytes_(max_event_bytes) {}

  // The data of each event that `bytes` completed. Lines may end in LF, CR LF or CR; comments and
  // fields other than `data` are skipped, and an event without data is none.
  core::Result<std::vector<std::string>> Feed(std::string_view bytes);

 private:
  void EndLine(std::vector<std::string>& events);

  size_t max_event_bytes_;
  std::string line_;
  std::string data_;
  bool has_data_ = false;
  bool after_cr_ = false;
};

}  // namespace octavo::net
