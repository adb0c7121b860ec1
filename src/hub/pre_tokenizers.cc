#include "hub/pre_tokenizers.h"

#include <string>

#include <fmt/format.h>

#include "core/bytes.h"

namespace octavo::hub {
namespace {

using core::Json;

// One way to cut text into words. Text is split by each pattern in turn, then mapped to bytes.
struct Kind {
  const char* names[4];  // what GGUF files call it; the rest null
  const char* patterns[4];
  bool individual_digits;  // splits digits off first
  bool gpt2_words;         // splits by GPT-2's own pattern last
  bool nfc;
  bool ignore_merges;
  bool adds_bos;
};

// Sources: tokenizer.json of the models named, and llama.cpp src/llama-vocab.cpp for which name
// means which.
constexpr Kind kKinds[] = {
    {{"gpt-2"}, {}, false, true, false, false, false},
    {{"smollm"}, {}, true, true, false, false, false},
    {{"llama-bpe", "llama3", "llama-v3"},
     {R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"},
     false,
     false,
     false,
     true,
     true},
    {{"qwen2", "deepseek-r1-qwen"},
     {R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"},
     false,
     false,
     true,
     false,
     false},
    // What llama.cpp does where the converter did not know the kind.
    {{"default"},
     {R"([\p{P}\$\+<=>\^~\|]+)",
      R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S))", R"(\p{N}+)",
      R"([0-9][0-9][0-9])"},
     false,
     false,
     false,
     false,
     false},
};

PreTokenizer Build(const Kind& kind, bool add_prefix_space) {
  Json steps = Json::array();
  if (kind.individual_digits) steps.push_back({{"type", "Digits"}, {"individual_digits", true}});
  for (const char* pattern : kind.patterns) {
    if (pattern == nullptr) break;
    steps.push_back({{"type", "Split"},
                     {"pattern", {{"Regex", pattern}}},
                     {"behavior", "Isolated"},
                     {"invert", false}});
  }
  steps.push_back({{"type", "ByteLevel"},
                   {"add_prefix_space", add_prefix_space},
                   {"trim_offsets", true},
                   {"use_regex", kind.gpt2_words}});
  PreTokenizer out;
  out.json = {{"type", "Sequence"}, {"pretokenizers", std::move(steps)}};
  if (kind.nfc) out.normalizer = {{"type", "NFC"}};
  out.ignore_merges = kind.ignore_merges;
  out.adds_bos = kind.adds_bos;
  return out;
}

}  // namespace

core::Result<PreTokenizer> FindPreTokenizer(std::string_view name, bool add_prefix_space) {
  std::string known;
  for (const Kind& kind : kKinds) {
    for (const char* candidate : kind.names) {
      if (candidate == nullptr) break;
      if (candidate == name) return Build(kind, add_prefix_space);
      known += (known.empty() ? "" : ", ") + std::string(candidate);
    }
  }
  return core::Unsupported(
      fmt::format("metadata key 'tokenizer.ggml.pre' is '{}'; known kinds: {}; pull the model's "
                  "Hugging Face folder instead",
                  core::Printable(name), known));
}

}  // namespace octavo::hub
