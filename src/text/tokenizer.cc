#include "text/tokenizer.h"

#include <limits>

#include <fmt/format.h>

#include "core/bytes.h"
#include "core/file.h"
#include "core/hash.h"
#include "text/bridge_reply.h"

namespace octavo::text {
namespace {

// The largest in use have 20 to 30 MB.
constexpr uint64_t kMaxFileBytes = uint64_t{256} << 20;

}  // namespace

struct Tokenizer::Handle {
  OctavoTokenizer* pointer = nullptr;
  Handle() = default;
  ~Handle() { octavo_tokenizer_free(pointer); }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
};

Tokenizer::Tokenizer(std::unique_ptr<Handle> handle) : handle_(std::move(handle)) {}
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;
Tokenizer::~Tokenizer() = default;

core::Result<Tokenizer> Tokenizer::Load(const std::string& model_dir, int64_t vocab_size) {
  const std::string path = core::JoinPath(model_dir, "tokenizer.json");
  OCTAVO_TRY(const std::string json, core::ReadFile(path, kMaxFileBytes));
  return FromJson(json, vocab_size).Context(path);
}

core::Result<Tokenizer> Tokenizer::FromJson(std::string_view json, int64_t vocab_size) {
  auto handle = std::make_unique<Handle>();
  const BridgeReply reply(octavo_tokenizer_new(Data(json), json.size(), &handle->pointer));
  if (!reply.ok()) return reply.Error().Context("not a usable tokenizer.json");
  Tokenizer tokenizer(std::move(handle));
  tokenizer.digest_ = core::Sha256Hex(json);
  if (vocab_size > 0 && tokenizer.vocab_size() > vocab_size) {
    const int64_t last = tokenizer.vocab_size() - 1;
    const std::string name = tokenizer.IdToToken(static_cast<TokenId>(last)).value_or("");
    return core::Invalid(
        fmt::format("token '{}' has id {}, but the model has {} embedding rows; this tokenizer "
                    "belongs to another model",
                    core::Printable(name), last, vocab_size));
  }
  return tokenizer;
}

core::Result<std::vector<TokenId>> Tokenizer::Encode(std::string_view text,
                                                     bool add_special_tokens) const {
  const BridgeReply reply(
      octavo_tokenizer_encode(handle_->pointer, Data(text), text.size(), add_special_tokens));
  if (!reply.ok()) return reply.Error().Context("cannot tokenize");
  // The bridge refuses ids that do not fit in a TokenId when it loads a vocabulary.
  std::vector<TokenId> ids(reply.bytes().size() / sizeof(TokenId));
  if (!ids.empty()) std::memcpy(ids.data(), reply.bytes().data(), reply.bytes().size());
  return ids;
}

core::Result<std::vector<TokenId>> Tokenizer::EncodeStart(std::string_view text,
                                                          size_t count) const {
  // A token covers 4 to 5 bytes of English. Words end at white space, so a cut there changes at
  // most the tokens right before it: a run of line ends, or a word that an added token would have
  // joined.
  constexpr size_t kBytesPerToken = 8;
  constexpr size_t kNearCut = 64;
  for (size_t bytes = (count + kNearCut) * kBytesPerToken; bytes < text.size(); bytes *= 2) {
    const size_t cut = text.find_last_of(" \n\t", bytes);
    if (cut == std::string_view::npos) continue;
    OCTAVO_TRY(std::vector<TokenId> ids, Encode(text.substr(0, cut), false));
    if (ids.size() < count + kNearCut) continue;
    ids.resize(count);
    return ids;
  }
  OCTAVO_TRY(std::vector<TokenId> ids, Encode(text, false));
  if (ids.size() > count) ids.resize(count);
  return ids;
}

core::Result<std::string> Tokenizer::Decode(std::span<const TokenId> ids,
                                            bool skip_special_tokens) const {
  // A negative id becomes a huge one, which no vocabulary holds.
  const auto* const raw = reinterpret_cast<const uint32_t*>(ids.data());
  const BridgeReply reply(
      octavo_tokenizer_decode(handle_->pointer, raw, ids.size(), skip_special_tokens));
  if (!reply.ok()) return reply.Error().Context("cannot turn ids into text");
  return reply.Text();
}

int64_t Tokenizer::vocab_size() const {
  return octavo_tokenizer_size(handle_->pointer);
}

std::optional<TokenId> Tokenizer::TokenToId(std::string_view token) const {
  const BridgeReply reply(
      octavo_tokenizer_token_to_id(handle_->pointer, Data(token), token.size()));
  if (!reply.ok()) return std::nullopt;
  return core::LoadLittle<TokenId>(reply.bytes(), 0);
}

std::optional<std::string> Tokenizer::IdToToken(TokenId id) const {
  const BridgeReply reply(
      octavo_tokenizer_id_to_token(handle_->pointer, static_cast<uint32_t>(id)));
  if (!reply.ok()) return std::nullopt;
  return reply.Text();
}

}  // namespace octavo::text
