// Whatever parses has tensors whose bytes lie inside the file and are as many as their shape says.
#include <cstdint>

#include "format/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const octavo::core::ByteSpan bytes = std::as_bytes(std::span(data, size));
  const auto table = octavo::format::SafetensorsFile::Parse(bytes);
  if (!table.ok()) return 0;
  size_t total = 0;
  for (const auto& [name, view] : table.value()) {
    const auto count = octavo::tensor::ElementCount(view.shape);
    OCTAVO_CHECK(count && view.bytes.size() == static_cast<size_t>(*count) * DTypeSize(view.dtype));
    total += view.bytes.size();
    OCTAVO_CHECK(view.bytes.data() + view.bytes.size() <= bytes.data() + bytes.size());
  }
  OCTAVO_CHECK(total <= size);
  return 0;
}
