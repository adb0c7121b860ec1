// A hostile template over a fixed conversation: any error will do, no crash, no endless loop.
#include <cstdint>

#include "text/chat_template.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using octavo::core::Json;
  static const Json messages =
      Json::array({{{"role", "system"}, {"content", "s"}}, {{"role", "user"}, {"content", "u"}}});
  const auto chat = octavo::text::ChatTemplate::FromText(
      std::string(reinterpret_cast<const char*>(data), size), "<s>", "</s>");
  if (chat.ok()) static_cast<void>(chat.value().Render(messages, true).ok());
  return 0;
}
