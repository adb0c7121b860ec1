// What Hugging Face and GGUF call the same weights: one table for both directions.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace octavo::format {

// Whether the rows of a module are reordered in GGUF files of the llama family:
// per head, the two halves of the rotation interleaved (conversion/llama.py `permute`).
enum class RowOrder : uint8_t { kSame, kQueryHeads, kKeyHeads };

// Names of a module without its ".weight" or ".bias"; "{}" stands for the layer.
struct WeightName {
  std::string_view gguf;
  std::string_view hf;
  RowOrder rows = RowOrder::kSame;
};
std::span<const WeightName> WeightNames();

// A tensor's name taken apart: its row of the table, its layer (-1: none) and its end.
struct WeightId {
  const WeightName* name;
  int64_t layer;
  std::string_view suffix;  // ".weight" or ".bias"
};
std::optional<WeightId> FindGgufName(std::string_view gguf_name);
std::optional<WeightId> FindHfName(std::string_view hf_name);
std::string GgufName(const WeightId& id);
std::string HfName(const WeightId& id);

}  // namespace octavo::format
