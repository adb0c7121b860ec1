// Server-sent events: one event as text, and a parser that takes bytes as they come.
#include "net/sse.h"

#include <utility>

namespace octavo::net {

std::string SseEvent(std::string_view data) {
  std::string out;
  out.reserve(data.size() + 8);
  for (;;) {
    const size_t end = data.find_first_of("\r\n");
    out += "data: ";
    out += data.substr(0, end);
    out += '\n';
    if (end == std::string_view::npos) break;
    const bool crlf = data[end] == '\r' && data.substr(end + 1, 1) == "\n";
    data.remove_prefix(end + (crlf ? 2 : 1));
  }
  out += '\n';
  return out;
}

core::Result<std::vector<std::string>> SseParser::Feed(std::string_view bytes) {
  std::vector<std::string> events;
  for (const char c : bytes) {
    const bool second_of_crlf = after_cr_ && c == '\n';
    after_cr_ = c == '\r';
    if (second_of_crlf) continue;
    if (c == '\n' || c == '\r') {
      EndLine(events);
      continue;
    }
    if (line_.size() + data_.size() >= max_event_bytes_) {
      return core::Exhausted("server-sent event: more than " + std::to_string(max_event_bytes_) +
                             " bytes without an end");
    }
    line_ += c;
  }
  return events;
}

void SseParser::EndLine(std::vector<std::string>& events) {
  if (line_.empty()) {
    if (has_data_) events.push_back(std::exchange(data_, {}));
    has_data_ = false;
    return;
  }
  std::string_view line = line_;
  const size_t colon = line.find(':');
  if (line.substr(0, colon) == "data") {
    std::string_view value = colon == std::string_view::npos ? "" : line.substr(colon + 1);
    if (value.substr(0, 1) == " ") value.remove_prefix(1);
    if (has_data_) data_ += '\n';
    data_ += value;
    has_data_ = true;
  }
  line_.clear();
}

}  // namespace octavo::net
