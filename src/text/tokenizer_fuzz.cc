// A hostile tokenizer.json, used on a short text if it loads.
#include <cstdint>

#include "text/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const auto loaded = octavo::text::Tokenizer::FromJson(input);
  if (!loaded.ok()) return 0;
  const auto ids = loaded.value().Encode("Hello, w\xC3\xB6rld <s> 123", true);
  if (!ids.ok()) return 0;
  static_cast<void>(loaded.value().Decode(ids.value(), false).ok());
  octavo::text::StreamDecoder stream(loaded.value());
  for (const octavo::text::TokenId id : ids.value()) static_cast<void>(stream.Push(id).ok());
  static_cast<void>(stream.Finish().ok());
  return 0;
}
