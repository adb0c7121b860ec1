// tokenizer.json and tokenizer_config.json, rebuilt from the metadata of a GGUF file.
#pragma once

#include "core/json.h"
#include "core/result.h"
#include "format/gguf.h"
#include "hub/gguf_config.h"

namespace octavo::hub {

struct TokenizerFiles {
  core::Json tokenizer;
  core::Json config;
};

// Byte-level BPE of the pre-tokenizers that are known, and SentencePiece (BPE with scores and byte
// fallback); others are refused by name, and so are tokens that appear twice, are no UTF-8 or are
// more than the model's embedding has, and merges of tokens that do not exist.
core::Result<TokenizerFiles> ReadGgufTokenizer(const format::GgufFile& file,
                                               const GgufModel& model);

}  // namespace octavo::hub
