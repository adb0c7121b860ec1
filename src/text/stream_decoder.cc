// Text of a growing sequence of ids, in whole characters.
#include <algorithm>

#include "text/tokenizer.h"

namespace octavo::text {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

// A character has at most four bytes and most tokens bring at least one, so that a text that is
// still broken after this many tokens will not become whole. It also bounds the work for each
// token.
constexpr size_t kMaxHeldIds = 16;

bool EndsBroken(std::string_view text) {
  return text.size() >= kReplacement.size() &&
         text.substr(text.size() - kReplacement.size()) == kReplacement;
}

// What `text` says beyond `before`: the part after what both have in common, in whole characters.
std::string_view Beyond(std::string_view before, std::string_view text) {
  const size_t limit = std::min(before.size(), text.size());
  size_t common = 0;
  while (common < limit && before[common] == text[common]) ++common;
  while (common > 0 && common < text.size() && (text[common] & 0xC0) == 0x80) --common;
  return text.substr(common);
}

}  // namespace

StreamDecoder::StreamDecoder(const Tokenizer& tokenizer, bool skip_special_tokens)
    : tokenizer_(&tokenizer), skip_special_tokens_(skip_special_tokens) {}

core::Result<std::string> StreamDecoder::Push(TokenId id) {
  ids_.push_back(id);
  core::Result<std::string> decoded = tokenizer_->Decode(ids_, skip_special_tokens_);
  if (!decoded.ok()) {
    ids_.pop_back();
    return decoded;
  }
  const std::string_view text = decoded.value();
  const std::string fresh(Beyond(context_text_, text));
  const bool full = ids_.size() - context_ids_ >= kMaxHeldIds;
  if (!full && (fresh.empty() || EndsBroken(text))) return std::string();
  if (fresh.empty()) {
    // Tokens without text, such as skipped special ones: the context before them still holds.
    ids_.resize(context_ids_);
    return fresh;
  }
  // The ids that gave this text are the context of the next: some decoders treat the first token
  // of a text in another way than the rest.
  ids_.erase(ids_.begin(), ids_.begin() + static_cast<std::ptrdiff_t>(context_ids_));
  context_ids_ = ids_.size();
  OCTAVO_TRY(context_text_, tokenizer_->Decode(ids_, skip_special_tokens_));
  return fresh;
}

core::Result<std::string> StreamDecoder::Finish() {
  OCTAVO_TRY(const std::string text, tokenizer_->Decode(ids_, skip_special_tokens_));
  std::string fresh(Beyond(context_text_, text));
  ids_.clear();
  context_ids_ = 0;
  context_text_.clear();
  return fresh;
}

}  // namespace octavo::text
