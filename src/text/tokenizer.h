// Tokenizer: Hugging Face tokenizer.json through the `tokenizers` crate, the code that the models
// were trained with.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"

namespace octavo::text {

using TokenId = int32_t;

// Immutable and safe to use from many threads. Any panic in the crate or malformed file is an
// Error.
class Tokenizer {
 public:
  // Reads MODEL_DIR/tokenizer.json. Truncation and padding settings in it are switched off. Fails
  // if an id is outside [0, vocab_size) where vocab_size is the number of embedding rows (pass 0 to
  // skip that check).
  static core::Result<Tokenizer> Load(const std::string& model_dir, int64_t vocab_size = 0);
  // The same from the text of a tokenizer.json.
  static core::Result<Tokenizer> FromJson(std::string_view json, int64_t vocab_size = 0);

  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;
  ~Tokenizer();

  // Ids of UTF-8 `text`. With add_special_tokens, what the post-processor adds (BOS and the like)
  // is added. Special tokens that are spelled out in the text are recognised, as in Hugging Face.
  core::Result<std::vector<TokenId>> Encode(std::string_view text, bool add_special_tokens) const;
  // The first `count` ids of Encode(text, false), or all of them if there are fewer, without
  // reading much more of the text than they cover: it is cut before white space, and what stands
  // near a cut does not count.
  core::Result<std::vector<TokenId>> EncodeStart(std::string_view text, size_t count) const;
  // Whether both were made from the same bytes.
  bool SameFile(const Tokenizer& other) const { return digest_ == other.digest_; }
  // Text of ids; an id that is not in the vocabulary is an Error. Incomplete UTF-8 comes out as
  // U+FFFD.
  core::Result<std::string> Decode(std::span<const TokenId> ids, bool skip_special_tokens) const;
  // One more than the highest id, added tokens included.
  int64_t vocab_size() const;
  std::optional<TokenId> TokenToId(std::string_view token) const;
  std::optional<std::string> IdToToken(TokenId id) const;

 private:
  struct Handle;
  explicit Tokenizer(std::unique_ptr<Handle> handle);
  std::unique_ptr<Handle> handle_;
  std::string digest_;  // SHA-256 of the file
};

// Turns a stream of ids into a stream of text, never splitting a UTF-8 character: bytes of an
// incomplete character are held until it is whole. One per sequence; not thread-safe.
class StreamDecoder {
 public:
  explicit StreamDecoder(const Tokenizer& tokenizer, bool skip_special_tokens = true);
  // The text that `id` completed, possibly empty.
  core::Result<std::string> Push(TokenId id);
  // What was held back, with U+FFFD for bytes that never became a character.
  core::Result<std::string> Finish();

 private:
  const Tokenizer* tokenizer_;
  bool skip_special_tokens_;
  std::vector<TokenId> ids_;  // those of the last text that was given out, then those held back
  size_t context_ids_ = 0;    // how many of them are the former
  std::string context_text_;  // the text of those
};

}  // namespace octavo::text
