#include "hub/pre_tokenizers.h"

#include <string>

#include <fmt/format.h>

#include "core/bytes.h"

namespace octavo::hub {
namespace {

using core::Json;

// One way to cut text into words. Text is split by each pattern in turn, then mapped to bytes.
struct WordSplit {
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
constexpr WordSplit kWordSplits[] = {
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

PreTokenizer Build(const WordSplit& kind, bool add_prefix_space) {
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

// The steps of a pre-tokenizer in one line, defaults spelled out and sequences flattened. The
// prefix of ByteLevel is told apart: it is no part of the kind.
std::string Canonical(const Json& step, bool& prefix_space) {
  const auto flag = [&](const char* key, bool absent) {
    const Json* value = core::Find(step, key);
    return value != nullptr && value->is_boolean() ? value->get<bool>() : absent;
  };
  const auto type = core::GetOptionalString(step, "type");
  const std::string kind = type.ok() ? type.value().value_or("") : "";
  if (kind == "Sequence") {
    std::string all;
    const Json* steps = core::Find(step, "pretokenizers");
    if (steps != nullptr && steps->is_array()) {
      for (const Json& inner : *steps) all += Canonical(inner, prefix_space);
    }
    return all;
  }
  if (kind == "Digits") return fmt::format("digits {}\n", flag("individual_digits", false));
  if (kind == "ByteLevel") {
    prefix_space = prefix_space || flag("add_prefix_space", true);
    return fmt::format("bytes {}\n", flag("use_regex", true));
  }
  return core::DumpJsonLine(step) + "\n";
}

std::string Normalizer(const Json& tokenizer) {
  const Json* normalizer = core::Find(tokenizer, "normalizer");
  return normalizer == nullptr ? "" : core::DumpJsonLine(*normalizer);
}

}  // namespace

core::Result<PreTokenizer> FindPreTokenizer(std::string_view name, bool add_prefix_space) {
  std::string known;
  for (const WordSplit& kind : kWordSplits) {
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

core::Result<PreTokenizerName> NamePreTokenizer(const Json& tokenizer) {
  const Json* steps = core::Find(tokenizer, "pre_tokenizer");
  const Json* model = core::Find(tokenizer, "model");
  const Json* ignores = model == nullptr ? nullptr : core::Find(*model, "ignore_merges");
  const bool ignore_merges = ignores != nullptr && ignores->is_boolean() && ignores->get<bool>();
  PreTokenizerName out;
  const std::string wanted = steps == nullptr ? "" : Canonical(*steps, out.prefix_space);
  for (const WordSplit& kind : kWordSplits) {
    const PreTokenizer built = Build(kind, false);
    bool unused = false;
    if (Canonical(built.json, unused) != wanted || built.ignore_merges != ignore_merges ||
        Normalizer({{"normalizer", built.normalizer}}) != Normalizer(tokenizer))
      continue;
    out.name = kind.names[0];
    return out;
  }
  return core::Unsupported(
      "tokenizer.json splits text in a way that GGUF has no name for that octavo knows");
}

}  // namespace octavo::hub
