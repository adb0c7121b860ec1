// An OctavoReply that frees itself; private to the text module.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "core/bytes.h"
#include "core/result.h"
#include "text/bridge/bridge.h"

namespace octavo::text {

class BridgeReply {
 public:
  explicit BridgeReply(OctavoReply reply) : reply_(reply) {}
  ~BridgeReply() { octavo_reply_free(reply_); }
  BridgeReply(const BridgeReply&) = delete;
  BridgeReply& operator=(const BridgeReply&) = delete;

  bool ok() const { return reply_.ok; }
  core::ByteSpan bytes() const { return std::as_bytes(std::span(reply_.data, reply_.size)); }
  std::string Text() const { return std::string(core::AsText(bytes())); }
  // The error, safe to print and in one line.
  core::Error Error() const { return core::Invalid(core::Printable(core::AsText(bytes()), 500)); }

 private:
  OctavoReply reply_;
};

inline const uint8_t* Data(std::string_view text) {
  return reinterpret_cast<const uint8_t*>(text.data());
}

}  // namespace octavo::text
