// SentencePiece vocabularies of GGUF files, there and back.
#include "hub/sentencepiece.h"

#include <limits>

#include <gtest/gtest.h>

#include "core/temp_folder.h"
#include "hub/export_gguf.h"
#include "hub/hub_fixture.h"
#include "hub/pull.h"
#include "text/tokenizer.h"

namespace octavo::hub {
namespace {

using core::Json;

constexpr char kConverted[] = OCTAVO_TESTDATA "/text/sentencepiece/tokenizer.json";

// The vocabulary of a tokenizer.json that transformers converted, as llama.cpp's converter stores
// it: pieces in the order of their ids, each with the score that training gave it.
struct Vocabulary {
  std::vector<std::string> tokens;
  std::vector<float> scores;
  std::vector<int32_t> types;
};
Vocabulary Converted() {
  Vocabulary out;
  const Json tokenizer = core::ReadJsonFile(kConverted).value();
  for (const auto& [token, id] : tokenizer["model"]["vocab"].items()) {
    EXPECT_EQ(id, out.tokens.size());
    const bool byte = token.size() == 6 && token.rfind("<0x", 0) == 0;
    out.tokens.push_back(token);
    out.types.push_back(token == "<unk>"                    ? 2
                        : token == "<s>" || token == "</s>" ? 3
                        : byte                              ? 6
                                                            : 1);
    out.scores.push_back(out.types.back() == 1 ? 259.0F - static_cast<float>(id.get<int>()) : 0);
  }
  return out;
}

std::string Floats32(const std::vector<float>& values) {
  using B = format::GgufBuilder;
  std::string bytes = B::Raw(uint32_t{9}) + B::Raw(uint32_t{6}) + B::Raw(uint64_t{values.size()});
  for (const float value : values) bytes += B::Raw(value);
  return bytes;
}

format::GgufBuilder WithVocabulary(const Vocabulary& vocabulary) {
  format::GgufBuilder builder =
      GgufOf(format::ModelFolder::Open(OCTAVO_TESTDATA "/architectures/llama").value(), "llama");
  for (const char* key : {"model", "pre", "tokens", "token_type", "merges", "bos_token_id",
                          "eos_token_id", "add_bos_token"})
    builder.RemoveKey(std::string("tokenizer.ggml.") + key);
  return builder.String("tokenizer.ggml.model", "llama")
      .Strings("tokenizer.ggml.tokens", vocabulary.tokens)
      .Key("tokenizer.ggml.scores", Floats32(vocabulary.scores))
      .I32s("tokenizer.ggml.token_type", vocabulary.types)
      .U32("tokenizer.ggml.bos_token_id", 1)
      .U32("tokenizer.ggml.eos_token_id", 2);
}

class SentencePieceTest : public testing::Test {
 protected:
  core::Result<PullSummary> Pull(const format::GgufBuilder& builder) {
    OCTAVO_RETURN_IF_ERROR(core::WriteFileAtomic(temp_ / "m.gguf", builder.Build()));
    return hub::Pull(temp_ / "m.gguf", temp_ / "out", {}, core::SilentProgress(), cancel_);
  }
  std::string PullError(const format::GgufBuilder& builder) {
    const auto pulled = Pull(builder);
    return pulled.ok() ? "pulled" : pulled.error().message();
  }
  core::TempFolder temp_;
  core::CancelToken cancel_;
};

TEST_F(SentencePieceTest, TokenizerIsThatOfTransformersConverter) {
  const auto pulled = Pull(WithVocabulary(Converted()));
  ASSERT_TRUE(pulled.ok()) << pulled.error().message();
  const Json made = core::ReadJsonFile(temp_ / "out/tokenizer.json").value();
  Json want = core::ReadJsonFile(kConverted).value();
  for (const char* part : {"model", "normalizer", "pre_tokenizer", "decoder", "added_tokens"})
    EXPECT_EQ(made[part], want[part]) << part;
  const text::Tokenizer tokenizer = text::Tokenizer::Load(temp_ / "out", 320).value();
  const text::Tokenizer reference = text::Tokenizer::FromJson(core::DumpJson(want), 0).value();
  for (const char* text : {"hi you", " hi", "", "  you hi", "h\u00e9 \u20ac", "</s>hi", "\n\t"}) {
    const auto ids = tokenizer.Encode(text, false).value();
    EXPECT_EQ(ids, reference.Encode(text, false).value()) << text;
    EXPECT_EQ(tokenizer.Decode(ids, false).value(), reference.Decode(ids, false).value());
  }
  // BOS is what SentencePiece models add where the file does not say otherwise.
  EXPECT_EQ(tokenizer.Encode("hi", true).value(), (std::vector<text::TokenId>{1, 266}));
}

TEST_F(SentencePieceTest, ExportAndPullGiveItBack) {
  ASSERT_TRUE(Pull(WithVocabulary(Converted())).ok());
  const auto exported =
      ExportGguf(temp_ / "out", temp_ / "again.gguf", {}, core::SilentProgress(), cancel_);
  ASSERT_TRUE(exported.ok()) << exported.error().message();
  const auto pulled =
      hub::Pull(temp_ / "again.gguf", temp_ / "again", {}, core::SilentProgress(), cancel_);
  ASSERT_TRUE(pulled.ok()) << pulled.error().message();
  EXPECT_EQ(core::ReadFile(temp_ / "again/tokenizer.json").value(),
            core::ReadFile(temp_ / "out/tokenizer.json").value());
}

TEST_F(SentencePieceTest, WithoutAPrefixNoSpaceIsPut) {
  ASSERT_TRUE(
      Pull(WithVocabulary(Converted()).Bool("tokenizer.ggml.add_space_prefix", false)).ok());
  const text::Tokenizer tokenizer = text::Tokenizer::Load(temp_ / "out", 320).value();
  EXPECT_EQ(tokenizer.Encode("hi hi", false).value(), (std::vector<text::TokenId>{260, 261, 266}));
  EXPECT_EQ(tokenizer.Decode(std::vector<text::TokenId>{266}, false).value(), " hi");
}

TEST_F(SentencePieceTest, RefusesByName) {
  Vocabulary vocabulary = Converted();
  vocabulary.scores.pop_back();
  EXPECT_NE(
      PullError(WithVocabulary(vocabulary)).find("'tokenizer.ggml.scores' must be a list of 270"),
      std::string::npos);
  vocabulary = Converted();
  vocabulary.scores[5] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_NE(PullError(WithVocabulary(vocabulary)).find("finite"), std::string::npos);
  vocabulary = Converted();
  vocabulary.types[5] = 7;
  EXPECT_NE(PullError(WithVocabulary(vocabulary)).find("token 5 is of type 7"), std::string::npos);
  vocabulary = Converted();
  vocabulary.tokens[269] = std::string(40000, 'x');
  EXPECT_NE(PullError(WithVocabulary(vocabulary)).find("longer than those of any tokenizer"),
            std::string::npos);
}

// Score, then the longer left part, then the longer right part, then the ids.
TEST(MergesFromScores, OrderIsThatOfTheConverter) {
  const std::vector<std::string> tokens = {"a", "b", "ab", "aa", "aab", "\u20ac", "\u20aca", "no"};
  const std::vector<double> scores = {-9, -9, -1, -2, -1, -9, -3, 0};
  std::unordered_map<std::string_view, int64_t> ids;
  for (size_t i = 0; i < tokens.size(); ++i) ids[tokens[i]] = static_cast<int64_t>(i);
  std::vector<bool> mergeable(tokens.size(), true);
  EXPECT_EQ(
      MergesFromScores(tokens, scores, mergeable, ids).value(),
      core::ParseJson(R"([["aa","b"],["a","ab"],["a","b"],["a","a"],["\u20ac","a"]])").value());
  mergeable[2] = false;  // "ab" takes no part
  EXPECT_EQ(MergesFromScores(tokens, scores, mergeable, ids).value(),
            core::ParseJson(R"([["aa","b"],["a","a"],["\u20ac","a"]])").value());
}

}  // namespace
}  // namespace octavo::hub
