// The pre-tokenizers that GGUF files name in `tokenizer.ggml.pre`, as tokenizer.json spells them.
#pragma once

#include <string>
#include <string_view>

#include "core/json.h"
#include "core/result.h"

namespace octavo::hub {

struct PreTokenizer {
  core::Json json;        // `pre_tokenizer` of tokenizer.json
  core::Json normalizer;  // `normalizer`
  bool ignore_merges = false;
  bool adds_bos = false;  // where the file does not say
};

// A kind that is not known is refused by name: a wrong split gives wrong tokens, silently.
core::Result<PreTokenizer> FindPreTokenizer(std::string_view name, bool add_prefix_space);

// The other way: what GGUF files call the pre-tokenizer of this tokenizer.json (byte-level BPE),
// and whether it puts a space before a text. Compared by what the steps do, not by how they are
// written.
struct PreTokenizerName {
  std::string name;
  bool prefix_space = false;
};
core::Result<PreTokenizerName> NamePreTokenizer(const core::Json& tokenizer);

}  // namespace octavo::hub
