// SentencePiece vocabularies (BPE kind, "llama" in GGUF files) as parts of tokenizer.json: the way
// back from scores to merges that transformers' own converter takes (convert_slow_tokenizer.py,
// SentencePieceExtractor and LlamaConverter).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/json.h"
#include "core/result.h"

namespace octavo::hub {

// "▁", which stands for a space inside pieces.
inline constexpr std::string_view kSpaceMark = "\xE2\x96\x81";

// Kinds of pieces (sentencepiece_model.proto), which also are the values of GGUF's
// tokenizer.ggml.token_type.
enum TokenType : int32_t { kNormal = 1, kUnknown, kControl, kUserDefined, kUnused, kByte };

// `merges` of the BPE model: every pair of pieces whose text together is a piece, the one with the
// highest score first. `mergeable[i]`: piece i is ordinary text; others take no part. tokens are
// distinct UTF-8 with their ids in `ids`; sizes are equal. Pieces so long that splitting them would
// take more than 2^30 steps are refused.
core::Result<core::Json> MergesFromScores(const std::vector<std::string>& tokens,
                                          const std::vector<double>& scores,
                                          const std::vector<bool>& mergeable,
                                          const std::unordered_map<std::string_view, int64_t>& ids);

// A space is put before the text (before each part between special tokens) when `space_prefix` is
// set; all spaces become marks.
core::Json SentencePieceNormalizer(bool space_prefix);
// Marks become spaces, byte pieces bytes, and the prefix is taken away again.
core::Json SentencePieceDecoder(bool space_prefix);

}  // namespace octavo::hub
