// What parses as a GGUF file has a config and a tokenizer that are refused in one line, or that are
// JSON with a token for each id that they name.
#include <cstdint>

#include "hub/gguf_tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const octavo::core::ByteSpan bytes = std::as_bytes(std::span(data, size));
  const auto file = octavo::format::GgufFile::Parse(bytes);
  if (!file.ok()) return 0;
  const auto model = octavo::hub::ReadGgufModel(file.value());
  if (!model.ok()) {
    OCTAVO_CHECK(model.error().message().find('\n') == std::string::npos);
    return 0;
  }
  const auto files = octavo::hub::ReadGgufTokenizer(file.value(), model.value());
  if (!files.ok()) {
    OCTAVO_CHECK(files.error().message().find('\n') == std::string::npos);
    return 0;
  }
  const octavo::core::Json& tokenizer = files.value().tokenizer;
  for (const auto& [token, id] : tokenizer["model"]["vocab"].items())
    OCTAVO_CHECK(id.get<int64_t>() < model.value().vocab_size);
  for (const auto& merge : tokenizer["model"]["merges"]) {
    if (!merge.is_array()) continue;
    for (const auto& part : merge)
      OCTAVO_CHECK(tokenizer["model"]["vocab"].contains(part.get<std::string>()));
  }
  return 0;
}
