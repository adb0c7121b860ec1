// The tokenizer of a model folder as GGUF metadata: the inverse of gguf_tokenizer.h.
#pragma once

#include <string>

#include "core/result.h"
#include "format/gguf_writer.h"

namespace octavo::hub {

// tokenizer.json (byte-level BPE of a kind that GGUF has a name for, or SentencePiece-like BPE with
// byte fallback), the special tokens of tokenizer_config.json, config.json and
// generation_config.json, and the chat template. Rows of the embedding without a token become
// unused tokens. Whether a text gets a first or last token is asked of the tokenizer itself. Others
// are refused by name.
core::Result<format::GgufMetadata> ExportTokenizer(const std::string& model_dir,
                                                   int64_t vocab_size);

}  // namespace octavo::hub
