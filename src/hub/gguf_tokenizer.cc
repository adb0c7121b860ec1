#include "hub/gguf_tokenizer.h"

#include <algorithm>
#include <cmath>
#include <unordered_map>

#include <fmt/format.h>

#include "core/bytes.h"
#include "hub/pre_tokenizers.h"
#include "hub/sentencepiece.h"

namespace octavo::hub {
namespace {

using core::Json;
using format::GgufFile;

constexpr char kTokensKey[] = "tokenizer.ggml.tokens";
constexpr char kTypesKey[] = "tokenizer.ggml.token_type";
constexpr char kMergesKey[] = "tokenizer.ggml.merges";
constexpr char kScoresKey[] = "tokenizer.ggml.scores";

using Vocabulary = std::unordered_map<std::string_view, int64_t>;

core::Result<bool> GetFlag(const GgufFile& file, std::string_view key, bool absent) {
  const format::GgufValue* value = file.FindValue(key);
  if (value == nullptr) return absent;
  if (const bool* flag = std::get_if<bool>(value)) return *flag;
  return core::Invalid(fmt::format("metadata key '{}' is not a boolean", key));
}

core::Result<bool> IsSentencePiece(const GgufFile& file) {
  constexpr char kKey[] = "tokenizer.ggml.model";
  if (file.FindValue(kKey) == nullptr) {
    return core::NotFound(fmt::format(
        "has no tokenizer (metadata key '{}' is missing); pull a complete file of the model",
        kKey));
  }
  OCTAVO_TRY(const std::string kind, file.GetString(kKey));
  if (kind == "gpt2" || kind == "llama") return kind == "llama";
  return core::Unsupported(
      fmt::format("metadata key '{}' is '{}'; octavo rebuilds gpt2 (byte-level BPE) and llama "
                  "(SentencePiece); pull the model's Hugging Face folder instead",
                  kKey, core::Printable(kind)));
}

core::Result<Vocabulary> IndexTokens(const std::vector<std::string>& tokens, int64_t vocab_size) {
  if (static_cast<int64_t>(tokens.size()) > vocab_size || tokens.empty()) {
    return core::Invalid(
        fmt::format("metadata key '{}' has {} tokens, expected 1 to {}, the rows of the embedding",
                    kTokensKey, tokens.size(), vocab_size));
  }
  Vocabulary ids;
  ids.reserve(tokens.size());
  for (size_t i = 0; i < tokens.size(); ++i) {
    const bool fresh = ids.emplace(tokens[i], static_cast<int64_t>(i)).second;
    if (fresh && core::IsUtf8(tokens[i])) continue;
    return core::Invalid(fmt::format("metadata key '{}': token {} '{}' {}", kTokensKey, i,
                                     core::Printable(tokens[i]),
                                     fresh ? "is not UTF-8" : "appears twice"));
  }
  return ids;
}

core::Result<std::vector<int64_t>> ReadTypes(const GgufFile& file, size_t tokens,
                                             bool sentencepiece) {
  const format::GgufValue* value = file.FindValue(kTypesKey);
  if (value == nullptr) return std::vector<int64_t>(tokens, kNormal);
  const auto* list = std::get_if<format::GgufArray>(value);
  const auto* types = list == nullptr ? nullptr : std::get_if<std::vector<int64_t>>(list);
  if (types == nullptr || types->size() != tokens) {
    return core::Invalid(
        fmt::format("metadata key '{}' must be a list of {} integers", kTypesKey, tokens));
  }
  for (size_t i = 0; i < tokens; ++i) {
    const int64_t type = (*types)[i];
    if (type >= kNormal && type <= (sentencepiece ? kByte : kUnused)) continue;
    return core::Unsupported(
        fmt::format("metadata key '{}': token {} is of type {}, which {} does not have", kTypesKey,
                    i, type, sentencepiece ? "SentencePiece" : "byte-level BPE"));
  }
  return *types;
}

// "vocab" of the BPE model. Unused tokens only fill the embedding up and stay out.
Json MakeVocab(const std::vector<std::string>& tokens, const std::vector<int64_t>& types) {
  Json::object_t vocab;
  vocab.reserve(tokens.size());
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (types[i] != kUnused) vocab.emplace_back(tokens[i], static_cast<int64_t>(i));
  }
  return vocab;
}

Json MakeAddedTokens(const std::vector<std::string>& tokens, const std::vector<int64_t>& types) {
  Json added = Json::array();
  for (size_t i = 0; i < tokens.size(); ++i) {
    const bool special = types[i] == kControl || types[i] == kUnknown;
    if (!special && types[i] != kUserDefined) continue;
    added.push_back({{"id", i},
                     {"content", tokens[i]},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false},
                     {"special", special}});
  }
  return added;
}

// Each merge names two tokens whose text together is a third.
core::Result<Json> MakeMerges(const GgufFile& file, const Vocabulary& ids) {
  OCTAVO_TRY(const auto merges, file.GetStrings(kMergesKey));
  Json::array_t out;
  out.reserve(merges.size());
  for (size_t i = 0; i < merges.size(); ++i) {
    const std::string_view merge = merges[i];
    const size_t space = merge.find(' ');
    const std::string_view left = merge.substr(0, space);
    const std::string_view right =
        space == std::string_view::npos ? std::string_view() : merge.substr(space + 1);
    if (ids.count(left) == 0 || ids.count(right) == 0 ||
        ids.count(std::string(left).append(right)) == 0) {
      return core::Invalid(
          fmt::format("metadata key '{}': merge {} '{}' is not two tokens that make "
                      "a third",
                      kMergesKey, i, core::Printable(merge)));
    }
    out.push_back(merge);  // the spelling that old and new versions of the library read
  }
  return Json(std::move(out));
}

// What is put around a text when special tokens are wanted.
Json MakePostProcessor(const Json& config, const Json& model_config) {
  Json single = Json::array();
  Json specials = Json::object();
  const auto add = [&](const char* flag, const char* token, const char* id) {
    if (!config[flag].get<bool>()) return;
    const Json& content = config[token];
    single.push_back({{"SpecialToken", {{"id", content}, {"type_id", 0}}}});
    const Json ids = model_config[id].is_array() ? model_config[id][0] : model_config[id];
    specials[content.get<std::string>()] = {
        {"id", content}, {"ids", Json::array({ids})}, {"tokens", Json::array({content})}};
  };
  add("add_bos_token", "bos_token", "bos_token_id");
  single.push_back({{"Sequence", {{"id", "A"}, {"type_id", 0}}}});
  add("add_eos_token", "eos_token", "eos_token_id");
  if (specials.empty()) return nullptr;
  Json pair = single;
  for (Json piece : single) {
    auto& [kind, value] = *piece.get_ref<Json::object_t&>().begin();
    value["type_id"] = 1;
    if (kind == "Sequence") value["id"] = "B";
    pair.push_back(std::move(piece));
  }
  return {{"type", "TemplateProcessing"},
          {"single", std::move(single)},
          {"pair", std::move(pair)},
          {"special_tokens", std::move(specials)}};
}

// The chat template: one, or the list of named ones in which Hugging Face keeps several.
core::Result<Json> ReadChatTemplate(const GgufFile& file) {
  constexpr char kKey[] = "tokenizer.chat_template";
  if (file.FindValue(kKey) == nullptr) return Json(nullptr);
  Json list = Json::array();
  const auto add = [&](const std::string& name, const std::string& key) -> core::Status {
    OCTAVO_TRY(std::string text, file.GetString(key));
    if (!core::IsUtf8(text)) {
      return core::Invalid(fmt::format("metadata key '{}' is not UTF-8", core::Printable(key)));
    }
    list.push_back({{"name", name}, {"template", std::move(text)}});
    return {};
  };
  OCTAVO_RETURN_IF_ERROR(add("default", kKey));
  if (file.FindValue("tokenizer.chat_templates") != nullptr) {
    OCTAVO_TRY(const auto names, file.GetStrings("tokenizer.chat_templates"));
    for (const std::string& name : names) {
      if (name != "default") OCTAVO_RETURN_IF_ERROR(add(name, fmt::format("{}.{}", kKey, name)));
    }
  }
  return list.size() == 1 ? list[0]["template"] : list;
}

core::Result<Json> MakeConfig(const GgufFile& file, const GgufModel& model, bool adds_bos,
                              const std::vector<std::string>& tokens) {
  Json config = {{"tokenizer_class", "PreTrainedTokenizerFast"},
                 {"clean_up_tokenization_spaces", false},
                 {"model_max_length", model.context}};
  for (const std::string_view name : {"bos", "eos", "unk", "pad"}) {
    const std::string key = fmt::format("tokenizer.ggml.{}_token_id", name == "unk"   ? "unknown"
                                                                      : name == "pad" ? "padding"
                                                                                      : name);
    if (file.FindValue(key) == nullptr) continue;
    OCTAVO_TRY(const int64_t id, file.GetInt(key));
    if (id < 0 || id >= static_cast<int64_t>(tokens.size())) {
      return core::Invalid(
          fmt::format("metadata key '{}' is {}, but there are {} tokens", key, id, tokens.size()));
    }
    config[fmt::format("{}_token", name)] = tokens[static_cast<size_t>(id)];
  }
  OCTAVO_TRY(const bool add_bos, GetFlag(file, "tokenizer.ggml.add_bos_token", adds_bos));
  OCTAVO_TRY(const bool add_eos, GetFlag(file, "tokenizer.ggml.add_eos_token", false));
  config["add_bos_token"] = add_bos && config.contains("bos_token");
  config["add_eos_token"] = add_eos && config.contains("eos_token");
  OCTAVO_TRY(Json chat_template, ReadChatTemplate(file));
  if (!chat_template.is_null()) config["chat_template"] = std::move(chat_template);
  return config;
}

core::Result<std::vector<double>> ReadScores(const GgufFile& file, size_t tokens) {
  const format::GgufValue* value = file.FindValue(kScoresKey);
  const auto* list = value == nullptr ? nullptr : std::get_if<format::GgufArray>(value);
  const auto* scores = list == nullptr ? nullptr : std::get_if<std::vector<double>>(list);
  if (scores == nullptr || scores->size() != tokens ||
      !std::all_of(scores->begin(), scores->end(), [](double s) { return std::isfinite(s); })) {
    return core::Invalid(
        fmt::format("metadata key '{}' must be a list of {} finite floats", kScoresKey, tokens));
  }
  return *scores;
}

// What differs between the two kinds of vocabulary: everything but the tokens themselves.
struct VocabularyKind {
  Json normalizer;
  Json pre_tokenizer;
  Json decoder;
  Json merges;
  Json unknown;  // the token for what the vocabulary lacks, or null
  bool byte_fallback = false;
  bool ignore_merges = false;
  bool adds_bos = false;  // where the file does not say
};

core::Result<VocabularyKind> ByteLevelKind(const GgufFile& file, const Vocabulary& ids) {
  OCTAVO_TRY(const std::string pre_name, file.GetString("tokenizer.ggml.pre"));
  OCTAVO_TRY(const bool prefix_space, GetFlag(file, "tokenizer.ggml.add_space_prefix", false));
  OCTAVO_TRY(PreTokenizer pre, FindPreTokenizer(pre_name, prefix_space));
  VocabularyKind kind;
  OCTAVO_TRY(kind.merges, MakeMerges(file, ids));
  kind.normalizer = std::move(pre.normalizer);
  kind.pre_tokenizer = std::move(pre.json);
  kind.decoder = {{"type", "ByteLevel"},
                  {"add_prefix_space", true},
                  {"trim_offsets", true},
                  {"use_regex", true}};
  kind.ignore_merges = pre.ignore_merges;
  kind.adds_bos = pre.adds_bos;
  return kind;
}

core::Result<VocabularyKind> SentencePieceKind(const GgufFile& file, const Vocabulary& ids,
                                               const std::vector<std::string>& tokens,
                                               const std::vector<int64_t>& types) {
  OCTAVO_TRY(const bool prefix_space, GetFlag(file, "tokenizer.ggml.add_space_prefix", true));
  OCTAVO_TRY(const auto scores, ReadScores(file, tokens.size()));
  std::vector<bool> mergeable(types.size());
  for (size_t i = 0; i < types.size(); ++i) mergeable[i] = types[i] == kNormal;
  VocabularyKind kind;
  OCTAVO_TRY(kind.merges, MergesFromScores(tokens, scores, mergeable, ids));
  const auto unknown = std::find(types.begin(), types.end(), kUnknown);
  if (unknown != types.end()) kind.unknown = tokens[static_cast<size_t>(unknown - types.begin())];
  kind.normalizer = SentencePieceNormalizer(prefix_space);
  kind.decoder = SentencePieceDecoder(prefix_space);
  kind.byte_fallback = true;
  kind.adds_bos = true;
  return kind;
}

}  // namespace

core::Result<TokenizerFiles> ReadGgufTokenizer(const GgufFile& file, const GgufModel& model) {
  OCTAVO_TRY(const bool sentencepiece, IsSentencePiece(file));
  OCTAVO_TRY(const auto tokens, file.GetStrings(kTokensKey));
  OCTAVO_TRY(const Vocabulary ids, IndexTokens(tokens, model.vocab_size));
  OCTAVO_TRY(const auto types, ReadTypes(file, tokens.size(), sentencepiece));
  OCTAVO_TRY(VocabularyKind kind, sentencepiece ? SentencePieceKind(file, ids, tokens, types)
                                                : ByteLevelKind(file, ids));
  TokenizerFiles out;
  OCTAVO_TRY(out.config, MakeConfig(file, model, kind.adds_bos, tokens));
  out.tokenizer = {{"version", "1.0"},
                   {"truncation", nullptr},
                   {"padding", nullptr},
                   {"added_tokens", MakeAddedTokens(tokens, types)},
                   {"normalizer", std::move(kind.normalizer)},
                   {"pre_tokenizer", std::move(kind.pre_tokenizer)},
                   {"post_processor", MakePostProcessor(out.config, model.config)},
                   {"decoder", std::move(kind.decoder)},
                   {"model",
                    {{"type", "BPE"},
                     {"dropout", nullptr},
                     {"unk_token", kind.unknown},
                     {"continuing_subword_prefix", nullptr},
                     {"end_of_word_suffix", nullptr},
                     {"fuse_unk", sentencepiece},
                     {"byte_fallback", kind.byte_fallback},
                     {"ignore_merges", kind.ignore_merges},
                     {"vocab", MakeVocab(tokens, types)},
                     {"merges", std::move(kind.merges)}}}};
  return out;
}

}  // namespace octavo::hub
