// Whatever parses has tensors whose bytes lie inside the file; all of them can be dequantized.
#include <cstdint>

#include "format/gguf.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const octavo::core::ByteSpan bytes = std::as_bytes(std::span(data, size));
  const auto file = octavo::format::GgufFile::Parse(bytes);
  if (!file.ok()) return 0;
  size_t total = 0;
  for (const octavo::format::GgufTensor& tensor : file.value().tensors()) {
    const auto count = octavo::tensor::ElementCount(tensor.shape);
    OCTAVO_CHECK(count.has_value());
    std::vector<float> values(static_cast<size_t>(*count));
    octavo::format::GgufDequantize(tensor, 0, values);
    total += tensor.bytes.size();
  }
  OCTAVO_CHECK(total <= size);
  for (const auto& [key, value] : file.value().values()) {
    OCTAVO_CHECK(file.value().FindValue(key) == &value);
  }
  return 0;
}
