#include "hub/export_tokenizer.h"

#include <algorithm>
#include <unordered_map>

#include <fmt/format.h>

#include "core/bytes.h"
#include "core/file.h"
#include "core/json.h"
#include "hub/pre_tokenizers.h"
#include "hub/sentencepiece.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace octavo::hub {
namespace {

using core::Json;
using format::GgufMetadata;

// Behind every real score, for pieces that no merge makes.
constexpr float kNoMerge = -1e9F;

struct Tokens {
  std::vector<std::string> text;
  std::vector<int32_t> types;
};

core::Status SetToken(Tokens& tokens, const Json& id, const std::string& text, int32_t type) {
  if (!id.is_number_integer() || id.get<int64_t>() < 0 ||
      id.get<int64_t>() >= static_cast<int64_t>(tokens.text.size())) {
    return core::Invalid(fmt::format("token '{}' has the id {}, but the embedding has {} rows",
                                     core::Printable(text), id.dump(), tokens.text.size()));
  }
  const auto index = id.get<size_t>();
  tokens.text[index] = text;
  tokens.types[index] = type;
  return {};
}

bool IsByteToken(std::string_view text) {
  return text.size() == 6 && text.starts_with("<0x") && text.back() == '>';
}

core::Result<Tokens> ListTokens(const Json& tokenizer, const Json& model, int64_t vocab_size,
                                bool sentencepiece) {
  Tokens tokens;
  tokens.text.resize(static_cast<size_t>(vocab_size));
  tokens.types.assign(tokens.text.size(), kUnused);
  for (size_t i = 0; i < tokens.text.size(); ++i) tokens.text[i] = fmt::format("[PAD{}]", i);
  const Json* vocab = core::Find(model, "vocab");
  if (vocab == nullptr || !vocab->is_object())
    return core::Invalid("field 'model.vocab' must be an object");
  OCTAVO_TRY(const auto unknown, core::GetOptionalString(model, "unk_token"));
  for (const auto& [text, id] : vocab->get_ref<const Json::object_t&>()) {
    int32_t type = kNormal;
    if (sentencepiece && IsByteToken(text)) type = kByte;
    if (sentencepiece && unknown && text == *unknown) type = kUnknown;
    OCTAVO_RETURN_IF_ERROR(SetToken(tokens, id, text, type));
  }
  if (const Json* added = core::Find(tokenizer, "added_tokens")) {
    for (const Json& token : *added) {
      OCTAVO_TRY(const std::string text, core::GetString(token, "content"));
      OCTAVO_TRY(const auto special, core::GetOptionalBool(token, "special"));
      const bool is_unknown = sentencepiece && unknown && text == *unknown;
      OCTAVO_RETURN_IF_ERROR(SetToken(tokens, token.value("id", Json()), text,
                                      is_unknown                ? kUnknown
                                      : special.value_or(false) ? kControl
                                                                : kUserDefined));
    }
  }
  return tokens;
}

// "a b" or ["a", "b"], as old and new versions of the library write them.
core::Result<std::pair<std::string, std::string>> ReadMerge(const Json& merge) {
  if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string())
    return std::pair(merge[0].get<std::string>(), merge[1].get<std::string>());
  if (merge.is_string()) {
    const auto& text = merge.get_ref<const std::string&>();
    const size_t space = text.find(' ');
    if (space != std::string::npos) return std::pair(text.substr(0, space), text.substr(space + 1));
  }
  return core::Invalid("field 'model.merges' must hold pairs of tokens");
}

core::Result<std::vector<std::pair<std::string, std::string>>> ReadMerges(const Json& model) {
  const Json* list = core::Find(model, "merges");
  if (list == nullptr || !list->is_array())
    return core::Invalid("field 'model.merges' must be a list");
  std::vector<std::pair<std::string, std::string>> merges;
  for (const Json& merge : *list) {
    OCTAVO_TRY(auto pair, ReadMerge(merge));
    merges.push_back(std::move(pair));
  }
  return merges;
}

core::Status AddByteLevel(const Json& tokenizer, const Json& model, GgufMetadata& out) {
  OCTAVO_TRY(const PreTokenizerName pre, NamePreTokenizer(tokenizer));
  OCTAVO_TRY(const auto pairs, ReadMerges(model));
  std::vector<std::string> merges;
  for (const auto& [left, right] : pairs) merges.push_back(left + " " + right);
  out.emplace_back("tokenizer.ggml.pre", pre.name);
  out.emplace_back("tokenizer.ggml.merges", std::move(merges));
  if (pre.prefix_space) out.emplace_back("tokenizer.ggml.add_space_prefix", true);
  return {};
}

// Scores order the merges: the earlier one is the higher.
core::Status AddSentencePiece(const Json& tokenizer, const Json& model, const Tokens& tokens,
                              GgufMetadata& out) {
  const std::string normalizer = core::DumpJsonLine(tokenizer.value("normalizer", Json()));
  const bool prefix = normalizer == core::DumpJsonLine(SentencePieceNormalizer(true));
  if (!prefix && normalizer != core::DumpJsonLine(SentencePieceNormalizer(false))) {
    return core::Unsupported(
        "tokenizer.json changes text in another way than SentencePiece vocabularies of GGUF do");
  }
  OCTAVO_TRY(const auto merges, ReadMerges(model));
  std::unordered_map<std::string, size_t> rank;
  for (size_t i = 0; i < merges.size(); ++i) rank.emplace(merges[i].first + merges[i].second, i);
  std::vector<float> scores;
  for (size_t i = 0; i < tokens.text.size(); ++i) {
    const auto found = rank.find(tokens.text[i]);
    const bool plain = tokens.types[i] == kNormal;
    scores.push_back(found != rank.end() ? -static_cast<float>(found->second)
                     : plain             ? kNoMerge
                                         : 0.0F);
  }
  out.emplace_back("tokenizer.ggml.scores", std::move(scores));
  out.emplace_back("tokenizer.ggml.add_space_prefix", prefix);
  return {};
}

core::Result<Json> ReadIfThere(const std::string& folder, const char* name) {
  const std::string path = core::JoinPath(folder, name);
  if (!core::FileExists(path)) return Json(Json::object());
  return core::ReadJsonFile(path);
}

// Ids of the special tokens: what tokenizer_config.json names in words, and the numbers of the
// other configs.
class SpecialIds {
 public:
  static core::Result<SpecialIds> Read(const std::string& folder,
                                       const text::Tokenizer& tokenizer) {
    SpecialIds out(tokenizer);
    OCTAVO_TRY(out.words_, ReadIfThere(folder, "tokenizer_config.json"));
    OCTAVO_TRY(out.config_, ReadIfThere(folder, "config.json"));
    OCTAVO_TRY(out.generation_, ReadIfThere(folder, "generation_config.json"));
    return out;
  }
  // All ids of a kind ("bos", "eos", "pad", "unk"), the one that is named in words first.
  std::vector<uint32_t> Of(const std::string& kind) const {
    std::vector<uint32_t> ids;
    const auto add = [&](const Json& id) {
      if (!id.is_number_integer() || id.get<int64_t>() < 0 ||
          id.get<int64_t>() >= tokenizer_->vocab_size())
        return;
      const auto value = id.get<uint32_t>();
      if (std::find(ids.begin(), ids.end(), value) == ids.end()) ids.push_back(value);
    };
    const Json* word = core::Find(words_, kind + "_token");
    if (word != nullptr && word->is_object()) word = core::Find(*word, "content");
    if (word != nullptr && word->is_string()) {
      const auto id = tokenizer_->TokenToId(word->get_ref<const std::string&>());
      if (id) add(*id);
    }
    for (const Json* file : {&generation_, &config_}) {
      const Json* given = core::Find(*file, kind + "_token_id");
      if (given == nullptr) continue;
      if (given->is_array()) {
        for (const Json& id : *given) add(id);
      } else {
        add(*given);
      }
    }
    return ids;
  }

 private:
  explicit SpecialIds(const text::Tokenizer& tokenizer) : tokenizer_(&tokenizer) {}
  const text::Tokenizer* tokenizer_;
  Json words_;
  Json config_;
  Json generation_;
};

core::Status AddSpecialIds(const SpecialIds& special, const text::Tokenizer& tokenizer,
                           GgufMetadata& out) {
  const auto bos = special.Of("bos");
  const auto eos = special.Of("eos");
  const auto add = [&](const char* name, const std::vector<uint32_t>& ids, size_t index) {
    if (index < ids.size())
      out.emplace_back(fmt::format("tokenizer.ggml.{}_token_id", name), ids[index]);
  };
  add("bos", bos, 0);
  add("eos", eos, 0);
  add("eot", eos, 1);
  add("eom", eos, 2);
  add("unknown", special.Of("unk"), 0);
  add("padding", special.Of("pad"), 0);
  OCTAVO_TRY(const auto bare, tokenizer.Encode("a", false));
  OCTAVO_TRY(const auto whole, tokenizer.Encode("a", true));
  std::vector<text::TokenId> expected;
  const auto begins = [&](const std::vector<uint32_t>& ids) {
    return !ids.empty() && !whole.empty() && whole.front() == static_cast<int64_t>(ids[0]);
  };
  const bool add_bos = whole.size() > bare.size() && begins(bos);
  const bool add_eos =
      whole.size() > bare.size() && !eos.empty() && whole.back() == static_cast<int64_t>(eos[0]);
  if (add_bos) expected.push_back(static_cast<text::TokenId>(bos[0]));
  expected.insert(expected.end(), bare.begin(), bare.end());
  if (add_eos) expected.push_back(static_cast<text::TokenId>(eos[0]));
  if (whole != expected) {
    return core::Unsupported(
        "tokenizer.json puts other tokens around a text than the first and the last, which GGUF "
        "cannot say");
  }
  out.emplace_back("tokenizer.ggml.add_bos_token", add_bos);
  out.emplace_back("tokenizer.ggml.add_eos_token", add_eos);
  return {};
}

}  // namespace

core::Result<GgufMetadata> ExportTokenizer(const std::string& model_dir, int64_t vocab_size) {
  const std::string path = core::JoinPath(model_dir, "tokenizer.json");
  OCTAVO_TRY(const Json tokenizer, core::ReadJsonFile(path));
  OCTAVO_TRY(const text::Tokenizer usable, text::Tokenizer::Load(model_dir, vocab_size));
  const auto make = [&]() -> core::Result<GgufMetadata> {
    const Json* found = core::Find(tokenizer, "model");
    if (found == nullptr) return core::Invalid("field 'model' is missing");
    const Json& model = *found;
    OCTAVO_TRY(const std::string type, core::GetString(model, "type"));
    if (type != "BPE") {
      return core::Unsupported(
          fmt::format("a tokenizer of type '{}'; octavo exports BPE", core::Printable(type)));
    }
    OCTAVO_TRY(const auto fallback, core::GetOptionalBool(model, "byte_fallback"));
    const bool sentencepiece = fallback.value_or(false);
    OCTAVO_TRY(Tokens tokens, ListTokens(tokenizer, model, vocab_size, sentencepiece));
    GgufMetadata out;
    out.emplace_back("tokenizer.ggml.model", std::string(sentencepiece ? "llama" : "gpt2"));
    OCTAVO_RETURN_IF_ERROR(sentencepiece ? AddSentencePiece(tokenizer, model, tokens, out)
                                         : AddByteLevel(tokenizer, model, out));
    out.emplace_back("tokenizer.ggml.tokens", std::move(tokens.text));
    out.emplace_back("tokenizer.ggml.token_type", std::move(tokens.types));
    return out;
  };
  OCTAVO_TRY(GgufMetadata out, make().Context(core::PrintablePath(path)));
  OCTAVO_TRY(const SpecialIds special, SpecialIds::Read(model_dir, usable));
  OCTAVO_RETURN_IF_ERROR(AddSpecialIds(special, usable, out).Context(core::PrintablePath(path)));
  OCTAVO_TRY(auto chat, text::ChatTemplate::LoadText(model_dir));
  if (chat) out.emplace_back("tokenizer.chat_template", *std::move(chat));
  return out;
}

}  // namespace octavo::hub
