#include "core/json.h"

#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include "core/file.h"
#include "core/temp_folder.h"

namespace octavo::core {
namespace {

std::string ErrorOf(std::string_view text, const JsonLimits& limits = {}) {
  const Result<Json> result = ParseJson(text, limits);
  return result.ok() ? "parsed" : result.error().message();
}

TEST(Json, RoundTripKeepsOrderAndBytes) {
  const std::string text =
      R"({"z":1,"a":[true,null,-2.5,"\u00e9\n"],"m":{"k":18446744073709551615}})";
  const Result<Json> parsed = ParseJson(text);
  ASSERT_TRUE(parsed.ok()) << parsed.error().message();
  EXPECT_EQ(DumpJsonLine(parsed.value()),
            "{\"z\":1,\"a\":[true,null,-2.5,\"\xC3\xA9\\n\"],\"m\":{\"k\":18446744073709551615}}");
  EXPECT_EQ(ParseJson(DumpJson(parsed.value())).value(), parsed.value());
  EXPECT_EQ(DumpJson(ParseJson(R"({"a":1})").value()), "{\n  \"a\": 1\n}\n");
}

TEST(Json, ScalarsAreDocuments) {
  EXPECT_EQ(ParseJson(" 7 ").value(), 7);
  EXPECT_EQ(ParseJson("-9223372036854775808").value(), std::numeric_limits<int64_t>::min());
  EXPECT_DOUBLE_EQ(ParseJson("1e3").value().get<double>(), 1000.0);
}

TEST(Json, RefusesWhatIsNotExactlyOneDocument) {
  for (const char* text :
       {"",         " ",   "{",    "[1,]",    "{\"a\":1,}", "{a:1}", "nan",         "NaN",
        "Infinity", "1 2", "{} x", "'a'",     "[1 2]",      "\"a",   "\"\\ud800\"", "\"\xFF\"",
        "01",       "+1",  "1.",   "// c\n1", "\"\x01\"",   "tru",   "[\"\\x\"]"}) {
    EXPECT_NE(ErrorOf(text), "parsed") << text;
  }
}

TEST(Json, EveryTruncationIsAnError) {
  const std::string text = R"({"a":[1,{"b":"\u20ac"}],"c":-1.5e3})";
  ASSERT_EQ(ErrorOf(text), "parsed");
  for (size_t length = 0; length < text.size(); ++length) {
    EXPECT_NE(ErrorOf(text.substr(0, length)), "parsed") << length;
  }
}

TEST(Json, ErrorsNameThePlaceAndTheReason) {
  EXPECT_EQ(ErrorOf("{\"a\": 1, \"a\": 2}"),
            "byte 12 of the JSON: key 'a' appears twice in one object");
  EXPECT_NE(ErrorOf("[1, x]").find("byte 5 of the JSON: "), std::string::npos) << ErrorOf("[1, x]");
  EXPECT_EQ(ErrorOf("[1, x]").find("json.exception"), std::string::npos) << ErrorOf("[1, x]");
}

TEST(Json, NumbersThatWouldBeRoundedOrInfiniteAreRefused) {
  EXPECT_NE(ErrorOf("18446744073709551616").find("does not fit in 64 bits"), std::string::npos);
  EXPECT_NE(ErrorOf("[-9223372036854775809]").find("does not fit in 64 bits"), std::string::npos);
  EXPECT_NE(ErrorOf("1e999"), "parsed");
  EXPECT_EQ(ErrorOf("18446744073709551616.0"), "parsed");
}

TEST(Json, DepthAndSizeAreLimited) {
  const std::string opened(64, '[');
  EXPECT_EQ(ErrorOf(opened + std::string(64, ']')), "parsed");
  EXPECT_NE(ErrorOf("[" + opened + std::string(64, ']') + "]").find("nested deeper than 64"),
            std::string::npos);
  EXPECT_NE(ErrorOf(std::string(1'000'000, '[')).find("nested deeper"), std::string::npos);
  EXPECT_NE(ErrorOf("[1,2,3]", {.max_bytes = 6}).find("at most 6 bytes"), std::string::npos);
}

// A linear search for each key would take minutes here.
TEST(Json, ObjectsWithManyKeysParse) {
  std::string text = "{";
  for (int i = 0; i < 200'000; ++i) text += (i == 0 ? "\"" : ",\"") + std::to_string(i) + "\":0";
  const Result<Json> parsed = ParseJson(text + "}");
  ASSERT_TRUE(parsed.ok());
  EXPECT_EQ(parsed.value().size(), 200'000u);
}

TEST(Json, FieldsAreReadByType) {
  const Json object =
      ParseJson(R"({"s":"x","i":-3,"u":18446744073709551615,"d":0.5,"b":true,"n":null,
                                    "l":["a","b"],"mixed":["a",1]})")
          .value();
  EXPECT_EQ(GetString(object, "s").value(), "x");
  EXPECT_EQ(GetInt(object, "i").value(), -3);
  EXPECT_EQ(GetDouble(object, "d").value(), 0.5);
  EXPECT_EQ(GetDouble(object, "i").value(), -3.0);
  EXPECT_TRUE(GetBool(object, "b").value());
  EXPECT_EQ(GetStrings(object, "l").value(), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(GetOptionalString(object, "n").value(), std::nullopt);
  EXPECT_EQ(GetOptionalInt(object, "absent").value(), std::nullopt);
  EXPECT_EQ(GetOptionalDouble(object, "d").value(), 0.5);
  EXPECT_EQ(GetOptionalBool(object, "b").value(), true);
  EXPECT_FALSE(GetInt(object, "u").ok());
  EXPECT_FALSE(GetInt(object, "d").ok());
  EXPECT_FALSE(GetBool(object, "i").ok());
  EXPECT_FALSE(GetOptionalInt(object, "s").ok());
  EXPECT_FALSE(GetStrings(object, "mixed").ok());
}

TEST(Json, FieldErrorsSayWhatWasGotAndExpected) {
  const Json object = ParseJson(R"({"s":"x","n":null})").value();
  EXPECT_EQ(GetInt(object, "s").error().message(),
            "field 's' is a string, expected an integer that fits in 64 bits");
  EXPECT_EQ(GetString(object, "n").error().message(), "field 'n' is missing, expected a string");
  EXPECT_EQ(GetString(Json(3), "n").error().message(),
            "an integer where an object with the field 'n' is expected");
}

TEST(Json, FindSeesNeitherNullNorForeignTypes) {
  const Json object = ParseJson(R"({"a":1,"n":null})").value();
  ASSERT_NE(Find(object, "a"), nullptr);
  EXPECT_EQ(Find(object, "n"), nullptr);
  EXPECT_EQ(Find(object, "b"), nullptr);
  EXPECT_EQ(Find(Json("text"), "a"), nullptr);
}

TEST(Json, UnknownKeysAreNamedWithTheNearestKnownOne) {
  const Json object = ParseJson(R"({"base":1,"promts":2})").value();
  EXPECT_TRUE(RefuseUnknownKeys(object, {"promts", "base"}).ok());
  EXPECT_EQ(RefuseUnknownKeys(object, {"prompts", "base", "channel"}).error().message(),
            "unknown field 'promts'; did you mean 'prompts'?");
  EXPECT_EQ(RefuseUnknownKeys(object, {"base"}).error().message(), "unknown field 'promts'");
  EXPECT_FALSE(RefuseUnknownKeys(Json(1), {}).ok());
}

TEST(Json, DumpReplacesInvalidUtf8) {
  EXPECT_EQ(DumpJsonLine(Json("a\xFF")), "\"a\xEF\xBF\xBD\"");
}

TEST(Toml, BecomesTheSameValues) {
  const Result<Json> parsed = ParseToml(
      "base = \"m\"\nn = 3\nx = 0.5\non = true\nday = 2024-05-01\nlist = [1, 2]\n[gate]\nmargin = "
      "0.01\n"
      "[[step]]\nname = 'a'\n[[step]]\nname = 'b'\n");
  ASSERT_TRUE(parsed.ok()) << parsed.error().message();
  EXPECT_EQ(parsed.value()["base"], "m");
  EXPECT_EQ(parsed.value()["n"], 3);
  EXPECT_EQ(parsed.value()["day"], "2024-05-01");
  EXPECT_EQ(parsed.value()["gate"]["margin"], 0.01);
  EXPECT_EQ(parsed.value()["step"][1]["name"], "b");
  EXPECT_EQ(parsed.value()["list"], Json::array({1, 2}));
}

TEST(Toml, ErrorsNameLineAndColumn) {
  const Result<Json> parsed = ParseToml("a = 1\nb = = 2\n");
  ASSERT_FALSE(parsed.ok());
  EXPECT_EQ(parsed.error().message().rfind("line 2, column ", 0), 0u) << parsed.error().message();
  EXPECT_FALSE(ParseToml("a = 1\na = 2\n").ok());
  EXPECT_FALSE(ParseToml("a = \"\xFF\"\n").ok());
  // Undefined behaviour in toml++ 3.3 as it is.
  for (const char* text : {"\xE3\x80\x81", "a = 1 \xE3\x80\x81", "[.", "[\x15", ".a = 1"}) {
    EXPECT_FALSE(ParseToml(text).ok()) << text;
  }
}

TEST(Toml, DeepNestingIsAnErrorNotACrash) {
  std::string dotted = "a";
  for (int i = 0; i < 200'000; ++i) dotted += ".a";
  EXPECT_FALSE(ParseToml(dotted + " = 1").ok());
  EXPECT_FALSE(ParseToml("[" + dotted + "]").ok());
  EXPECT_FALSE(ParseToml("a = " + std::string(100'000, '[')).ok());
  std::string spread;
  for (int i = 0; i < 15; ++i) spread += "x" + dotted.substr(1, 500) + " = [\n{";
  EXPECT_FALSE(ParseToml("a = [\n{" + spread).ok());
}

TEST(Json, FilesPutTheirPathInFront) {
  const TempFolder folder;
  ASSERT_TRUE(WriteFileAtomic(folder / "a.json", "{\"a\": }").ok());
  EXPECT_EQ(ReadJsonFile(folder / "a.json").error().message().rfind(folder / "a.json: byte ", 0),
            0u);
  ASSERT_TRUE(WriteFileAtomic(folder / "a.toml", "a = 1").ok());
  EXPECT_EQ(ReadTomlFile(folder / "a.toml").value()["a"], 1);
  EXPECT_EQ(ReadJsonFile(folder / "none").error().code(), ErrorCode::kNotFound);
}

}  // namespace
}  // namespace octavo::core
