#include "text/tokenizer.h"

#include <algorithm>
#include <thread>

#include <gtest/gtest.h>

#include "core/file.h"
#include "core/json.h"
#include "core/random.h"
#include "core/temp_folder.h"

namespace octavo::text {
namespace {

using core::Json;
using Ids = std::vector<TokenId>;

// Ids 0..255 are the bytes; 256.. the merges: 259 "hello", 264 " world", 265 the bytes F0 9F; then
// the added tokens. The file asks for truncation to 3 ids, padding to 16 and dropout, which must
// all be without effect.
const std::string kByteLevel = OCTAVO_TESTDATA "/text/byte_level";
constexpr TokenId kHello = 259;
constexpr TokenId kWorld = 264;
constexpr TokenId kBos = 266;
constexpr TokenId kEos = 267;
constexpr TokenId kTool = 268;

// Llama 2 style: a space before the text, "\u2581" for spaces, bytes as <0x00> tokens.
const std::string kSentencePiece = OCTAVO_TESTDATA "/text/sentencepiece";

Tokenizer LoadOrDie(const std::string& folder) {
  core::Result<Tokenizer> tokenizer = Tokenizer::Load(folder);
  EXPECT_TRUE(tokenizer.ok()) << (tokenizer.ok() ? "" : tokenizer.error().message());
  return std::move(tokenizer).value();
}

std::string Streamed(const Tokenizer& tokenizer, const Ids& ids, bool skip_special) {
  StreamDecoder decoder(tokenizer, skip_special);
  std::string text;
  for (const TokenId id : ids) text += decoder.Push(id).value();
  return text + decoder.Finish().value();
}

TEST(Tokenizer, EncodesAndDecodesWithMergesAndSpecialTokens) {
  const Tokenizer tokenizer = LoadOrDie(kByteLevel);
  EXPECT_EQ(tokenizer.Encode("hello world", false).value(), (Ids{kHello, kWorld}));
  EXPECT_EQ(tokenizer.Encode("hello world", true).value(), (Ids{kBos, kHello, kWorld}));
  EXPECT_EQ(tokenizer.Encode("hello</s><tool>", false).value(), (Ids{kHello, kEos, kTool}));
  EXPECT_EQ(tokenizer.Encode("", false).value(), Ids{});
  const Ids all = {kBos, kHello, kWorld, kTool, kEos};
  EXPECT_EQ(tokenizer.Decode(all, false).value(), "<s>hello world<tool></s>");
  EXPECT_EQ(tokenizer.Decode(all, true).value(), "hello world<tool>");
  EXPECT_EQ(tokenizer.Decode({}, true).value(), "");
}

TEST(Tokenizer, TruncationPaddingAndDropoutOfTheFileAreOff) {
  const Tokenizer tokenizer = LoadOrDie(kByteLevel);
  const Ids whole(20, kHello);
  std::string text;
  for (int i = 0; i < 20; ++i) text += "hello";
  // One word for the pre-tokenizer; the merges join it in the same way each time.
  for (int round = 0; round < 20; ++round) EXPECT_EQ(tokenizer.Encode(text, false).value(), whole);
}

TEST(Tokenizer, TheStartOfATextIsTheStartOfItsIds) {
  const std::string parts[] = {"hello",  " world", " you", " ",  "\n",       "\n\n",      ". ",
                               "<tool>", "hi",     "\t",   "  ", "\xC3\xA4", "hellohello"};
  core::Random random(4);
  std::string text;
  for (int i = 0; i < 20000; ++i) text += parts[random.Below(std::size(parts))];
  const std::string unbroken(30000, 'h');
  for (const std::string& folder : {kByteLevel, kSentencePiece}) {
    const Tokenizer tokenizer = LoadOrDie(folder);
    for (const std::string& whole_text : {text, unbroken, std::string()}) {
      const Ids whole = tokenizer.Encode(whole_text, false).value();
      for (const size_t count : {size_t{0}, size_t{1}, size_t{7}, size_t{300}, size_t{2000},
                                 size_t{9000}, whole.size(), whole.size() + 5}) {
        const Ids start = tokenizer.EncodeStart(whole_text, count).value();
        const size_t there = std::min(count, whole.size());
        ASSERT_EQ(start, Ids(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(there)))
            << folder << " " << count;
      }
    }
  }
}

TEST(Tokenizer, KnowsTheSameFileAgain) {
  const Tokenizer tokenizer = LoadOrDie(kByteLevel);
  EXPECT_TRUE(tokenizer.SameFile(LoadOrDie(kByteLevel)));
  EXPECT_FALSE(tokenizer.SameFile(LoadOrDie(kSentencePiece)));
}

TEST(Tokenizer, TokensAndIdsAreFoundByEachOther) {
  const Tokenizer tokenizer = LoadOrDie(kByteLevel);
  EXPECT_EQ(tokenizer.vocab_size(), 269);
  EXPECT_EQ(tokenizer.TokenToId("hello"), kHello);
  EXPECT_EQ(tokenizer.TokenToId("</s>"), kEos);
  EXPECT_EQ(tokenizer.TokenToId("none such"), std::nullopt);
  EXPECT_EQ(tokenizer.IdToToken(kTool), "<tool>");
  EXPECT_EQ(tokenizer.IdToToken(269), std::nullopt);
  EXPECT_EQ(tokenizer.IdToToken(-1), std::nullopt);
}

TEST(Tokenizer, UnknownIdsAndInvalidUtf8AreErrors) {
  const Tokenizer tokenizer = LoadOrDie(kByteLevel);
  for (const TokenId id : {269, 100'000'000, -1}) {
    EXPECT_FALSE(tokenizer.Decode(Ids{kHello, id}, false).ok()) << id;
  }
  EXPECT_EQ(tokenizer.Decode(Ids{300}, false).error().message(),
            "cannot turn ids into text: token id 300 is not in the vocabulary of 269 ids");
  EXPECT_EQ(tokenizer.Encode("ab\xFF", false).error().message(),
            "cannot tokenize: byte 2 of the text is not UTF-8");
}

TEST(Tokenizer, IdsBeyondTheEmbeddingRowsAreRefused) {
  EXPECT_TRUE(Tokenizer::Load(kByteLevel, 269).ok());
  const core::Result<Tokenizer> small = Tokenizer::Load(kByteLevel, 268);
  ASSERT_FALSE(small.ok());
  EXPECT_NE(small.error().message().find(
                "tokenizer.json: token '<tool>' has id 268, but the model has 268"),
            std::string::npos)
      << small.error().message();
}

TEST(Tokenizer, MillionTimesOneCharacterEncodes) {
  const Tokenizer tokenizer = LoadOrDie(kByteLevel);
  for (const char* text : {"l", " ", "\xF0\x9F\x99\x82", "1"}) {
    std::string million;
    while (million.size() < 1'000'000) million += text;
    const Ids ids = tokenizer.Encode(million, false).value();
    EXPECT_EQ(tokenizer.Decode(ids, false).value(), million);
  }
}

TEST(Tokenizer, ThreadsShareOne) {
  const Tokenizer tokenizer = LoadOrDie(kByteLevel);
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int round = 0; round < 200; ++round) {
        EXPECT_EQ(tokenizer.Encode("hello world", false).value(), (Ids{kHello, kWorld}));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

// A copy of the test file with one thing changed.
template <typename Change>
core::Result<Tokenizer> Changed(const Change& change) {
  Json json = core::ReadJsonFile(kByteLevel + "/tokenizer.json").value();
  change(json);
  return Tokenizer::FromJson(core::DumpJsonLine(json));
}

TEST(Tokenizer, BrokenFilesAreErrors) {
  EXPECT_TRUE(Changed([](Json&) {}).ok());
  EXPECT_FALSE(Changed([](Json& json) { json["model"]["merges"].push_back({"no", "such"}); }).ok());
  EXPECT_FALSE(Changed([](Json& json) { json["model"]["type"] = "Nonsense"; }).ok());
  EXPECT_FALSE(Changed([](Json& json) { json["model"]["vocab"]["x"] = -1; }).ok());
  EXPECT_FALSE(Changed([](Json& json) { json["model"]["vocab"]["huge"] = 4'000'000'000u; }).ok());
  EXPECT_FALSE(Changed([](Json& json) { json["added_tokens"][0]["id"] = 5; }).ok());
  EXPECT_FALSE(Changed([](Json& json) { json["decoder"]["type"] = "Nonsense"; }).ok());
  EXPECT_FALSE(Changed([](Json& json) { json.erase("model"); }).ok());
  for (const char* text : {"", "{}", "[]", "null", "\xFF", "{\"model\":", "[[[[[[[["}) {
    EXPECT_FALSE(Tokenizer::FromJson(text).ok()) << text;
  }
  EXPECT_FALSE(Tokenizer::FromJson(std::string(1'000'000, '[')).ok());
  EXPECT_EQ(Tokenizer::Load("/nonexistent").error().code(), core::ErrorCode::kNotFound);
}

TEST(Tokenizer, HostileRegexIsAnError) {
  const auto with_regex = [](const std::string& regex) {
    return Changed([&](Json& json) {
      json["pre_tokenizer"] = {{"type", "Split"},
                               {"pattern", {{"Regex", regex}}},
                               {"behavior", "Isolated"},
                               {"invert", false}};
    });
  };
  EXPECT_TRUE(with_regex("a+").ok());
  EXPECT_FALSE(with_regex(std::string(100'000, '(')).ok());
  EXPECT_FALSE(with_regex(std::string(100'000, '(') + std::string(100'000, ')')).ok());
  // Huge automata and catastrophic backtracking end at the limits of the regex library.
  for (const char* regex : {"a{1000}{1000}{1000}{1000}", "(?=(a|a)+$)b|(a|aa)+\\1c"}) {
    const core::Result<Tokenizer> slow = with_regex(regex);
    if (slow.ok()) static_cast<void>(slow.value().Encode(std::string(5'000, 'a'), false).ok());
  }
}

TEST(Tokenizer, EveryTruncationOfTheFileIsAnError) {
  const std::string json = core::ReadFile(kByteLevel + "/tokenizer.json").value();
  for (size_t length = 0; length + 2 < json.size(); length += 7) {
    EXPECT_FALSE(Tokenizer::FromJson(json.substr(0, length)).ok()) << length;
  }
}

TEST(StreamDecoder, HoldsTheBytesOfACharacterUntilItIsWhole) {
  const Tokenizer tokenizer = LoadOrDie(kByteLevel);
  StreamDecoder decoder(tokenizer);
  EXPECT_EQ(decoder.Push(kHello).value(), "hello");
  EXPECT_EQ(decoder.Push(265).value(), "");
  EXPECT_EQ(decoder.Push(0x99).value(), "");
  EXPECT_EQ(decoder.Push(0x82).value(), "\xF0\x9F\x99\x82");
  EXPECT_EQ(decoder.Push(kWorld).value(), " world");
  EXPECT_EQ(decoder.Finish().value(), "");
}

TEST(StreamDecoder, GivesTheTextThatDecodeGives) {
  const std::string text =
      "hello \xF0\x9F\x99\x82\xF0\x9F\x91\xA9\xE2\x80\x8D\xF0\x9F\x91\xA7 world\n na\xC3\xAFve "
      "\xE6\x97\xA5\xE6\x9C\xAC ";
  for (const std::string& folder : {kByteLevel, kSentencePiece}) {
    const Tokenizer tokenizer = LoadOrDie(folder);
    const Ids ids = tokenizer.Encode(text, false).value();
    EXPECT_EQ(tokenizer.Decode(ids, false).value(), text);
    EXPECT_EQ(Streamed(tokenizer, ids, false), text);
  }
}

TEST(StreamDecoder, KeepsTheSpaceBetweenWordsOfSentencePiece) {
  const Tokenizer tokenizer = LoadOrDie(kSentencePiece);
  const Ids ids = tokenizer.Encode("hi you", false).value();
  ASSERT_EQ(ids.size(), 2u);
  EXPECT_EQ(Streamed(tokenizer, ids, true), "hi you");
  // Many skipped tokens in between must not make the second word look like the first of a text.
  Ids with_gap = {ids[0]};
  with_gap.insert(with_gap.end(), 50, 2);
  with_gap.push_back(ids[1]);
  EXPECT_EQ(Streamed(tokenizer, with_gap, true), "hi you");
}

TEST(StreamDecoder, BrokenBytesComeOutAsReplacementCharacters) {
  const Tokenizer tokenizer = LoadOrDie(kByteLevel);
  EXPECT_EQ(Streamed(tokenizer, {kHello, 0xFF, kWorld}, true), "hello\xEF\xBF\xBD world");
  EXPECT_EQ(Streamed(tokenizer, {kHello, 265}, true), "hello\xEF\xBF\xBD");
  // Held back without end it would cost ever more for each token.
  StreamDecoder decoder(tokenizer);
  size_t given_out = 0;
  for (int i = 0; i < 1000; ++i) given_out += decoder.Push(0x80).value().size();
  EXPECT_GT(given_out, 2'500u);
}

TEST(StreamDecoder, UnknownIdLeavesTheStreamUsable) {
  const Tokenizer tokenizer = LoadOrDie(kByteLevel);
  StreamDecoder decoder(tokenizer);
  EXPECT_FALSE(decoder.Push(5'000).ok());
  EXPECT_EQ(decoder.Push(kHello).value(), "hello");
}

}  // namespace
}  // namespace octavo::text
