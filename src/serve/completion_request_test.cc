#include "serve/completion_request.h"

#include <string>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "core/file.h"

namespace octavo::serve {
namespace {

std::string Base(Endpoint endpoint) {
  return endpoint == Endpoint::kChat ? R"("messages": [{"role": "user", "content": "hi"}])"
                                     : R"("prompt": "hi")";
}

// The body of a request that is right but for `extra`.
std::string Body(Endpoint endpoint, std::string_view extra) {
  return fmt::format("{{{}{}{}}}", Base(endpoint), extra.empty() ? "" : ", ", extra);
}

Failure Parse(std::string_view body, Endpoint endpoint = Endpoint::kCompletions) {
  CompletionRequest request;
  return ParseCompletionRequest(body, endpoint, request);
}

std::string Number(double value) {
  return fmt::format("{:.0f}", value);
}

constexpr Endpoint kEndpoints[] = {Endpoint::kCompletions, Endpoint::kChat};

// Values that a field must refuse and take, from its line in the table.
void Samples(const Field& field, std::vector<std::string>& wrong, std::vector<std::string>& right) {
  wrong = {"{}", "[[]]"};
  right = {"null"};
  const auto add = [](std::vector<std::string>& list, std::initializer_list<std::string> more) {
    list.insert(list.end(), more);
  };
  switch (field.type) {
    case FieldType::kBoolean:
      add(wrong, {"1", "\"true\""});
      add(right, {"true", "false"});
      break;
    case FieldType::kInteger:
      add(wrong, {"1.5", "\"1\"", "true"});
      if (field.max < 1e18)
        add(wrong, {Number(field.max + 1), Number(field.min - 1), "18446744073709551615"});
      if (field.max < 1e18)
        add(right, {Number(field.min), Number(field.max)});
      else
        add(right, {"-9223372036854775808", "18446744073709551615"});
      break;
    case FieldType::kNumber:
      add(wrong, {"\"1\"", Number(field.max + 1), Number(field.min - 1), "1e308", "-0.0001"});
      if (field.above_min)
        add(wrong, {Number(field.min), "-0.0"});
      else
        add(right, {Number(field.min)});
      add(right, {Number(field.max), "0.25"});
      break;
    case FieldType::kText:
      add(wrong, {"1", "\"" + std::string(1001, 'x') + "\""});
      add(right, {"\"\"", "\"name\""});
      break;
    case FieldType::kStop:
      add(wrong, {"\"\"", "1", R"(["a", ""])", R"(["a", 1])", R"(["1","2","3","4","5"])",
                  "\"" + std::string(1025, 'x') + "\""});
      add(right, {"\"x\"", "[]", R"(["1","2","3","4"])"});
      break;
    case FieldType::kStreamOptions:
      wrong = {"1", "[]", R"({"include_usage": 1})"};
      add(right, {"{}", R"({"include_usage": true, "continuous_usage_stats": true})"});
      break;
    default:
      break;  // prompt and messages have tests of their own
  }
}

TEST(CompletionRequest, EveryFieldIsHeldToItsLineInTheTable) {
  for (const Endpoint endpoint : kEndpoints) {
    for (const Field& field : Fields()) {
      if ((field.endpoints & static_cast<uint8_t>(endpoint)) == 0) continue;
      if (field.type == FieldType::kPrompt || field.type == FieldType::kMessages) continue;
      std::vector<std::string> wrong;
      std::vector<std::string> right;
      Samples(field, wrong, right);
      for (const std::string& value : wrong) {
        const Failure failure =
            Parse(Body(endpoint, fmt::format("\"{}\": {}", field.name, value)), endpoint);
        ASSERT_TRUE(failure) << field.name << " takes " << value;
        EXPECT_EQ(failure->status, 400);
        EXPECT_EQ(failure->param.substr(0, field.name.size()), field.name);
        EXPECT_EQ(failure->message.substr(0, field.name.size()), field.name);
      }
      for (const std::string& value : right) {
        const Failure failure = Parse(
            Body(endpoint, fmt::format(R"("{}": {}, "{}": 0)", field.name, value,
                                       field.name == "temperature" ? "ignored" : "temperature")),
            endpoint);
        EXPECT_FALSE(failure) << field.name << " refuses " << value << ": " << failure->message;
      }
    }
  }
}

TEST(CompletionRequest, UnsupportedFieldsAreRefusedByNameUnlessTheyAskForNothing) {
  for (const Endpoint endpoint : kEndpoints) {
    for (const RefusedField& field : RefusedFields()) {
      const Failure failure =
          Parse(Body(endpoint, fmt::format(R"("{}": "something")", field.name)), endpoint);
      ASSERT_TRUE(failure) << field.name;
      EXPECT_EQ(failure->param, field.name);
      EXPECT_EQ(failure->code, "unsupported_parameter");
      core::Json harmless = core::ParseJson(field.harmless).value();
      harmless.push_back(nullptr);
      for (const core::Json& value : harmless) {
        EXPECT_FALSE(
            Parse(Body(endpoint, fmt::format("\"{}\": {}", field.name, core::DumpJsonLine(value))),
                  endpoint))
            << field.name << " " << value;
      }
    }
    EXPECT_FALSE(Parse(Body(endpoint, R"("presence_penalty": 0.0)"), endpoint));
    EXPECT_TRUE(Parse(Body(endpoint, R"("n": 2)"), endpoint));
    EXPECT_FALSE(
        Parse(Body(endpoint, R"("user": "me", "store": true, "metadata": {"a": 1})"), endpoint));
  }
}

TEST(CompletionRequest, ValuesReachTheirPlaces) {
  CompletionRequest request;
  ASSERT_FALSE(ParseCompletionRequest(
      R"({"prompt": "x", "model": "m", "max_tokens": 7, "temperature": 0.5, "top_p": 0.9,
      "top_k": -1, "seed": -1, "stop": "S", "ignore_eos": true, "logprobs": 0, "stream": true,
      "stream_options": {"include_usage": true}})",
      Endpoint::kCompletions, request));
  EXPECT_EQ(request.model, "m");
  EXPECT_EQ(request.max_tokens, 7);
  EXPECT_EQ(request.sampling.temperature, 0.5);
  EXPECT_EQ(request.sampling.top_p, 0.9);
  EXPECT_EQ(request.sampling.top_k, 0);
  EXPECT_EQ(request.seed, ~uint64_t{0});
  EXPECT_EQ(request.sampling.stop, std::vector<std::string>{"S"});
  EXPECT_TRUE(request.sampling.ignore_eos);
  EXPECT_TRUE(request.logprobs);
  EXPECT_FALSE(request.top_logprob);
  EXPECT_TRUE(request.stream);
  EXPECT_TRUE(request.include_usage);

  CompletionRequest plain;
  ASSERT_FALSE(ParseCompletionRequest(
      Body(Endpoint::kChat, R"("max_completion_tokens": 9, "max_tokens": 7)"), Endpoint::kChat,
      plain));
  EXPECT_EQ(plain.sampling.temperature, 1);
  EXPECT_EQ(plain.max_tokens, 9);
  EXPECT_FALSE(plain.seed.has_value());
  EXPECT_FALSE(plain.logprobs);
}

TEST(CompletionRequest, TopLogprobIsTheChosenOneOnlyUnderGreedySampling) {
  EXPECT_FALSE(Parse(R"({"prompt": "x", "logprobs": 1, "temperature": 0})"));
  const Failure failure = Parse(R"({"prompt": "x", "logprobs": 1, "temperature": 0.1})");
  ASSERT_TRUE(failure);
  EXPECT_EQ(failure->param, "logprobs");
}

TEST(CompletionRequest, PromptsOfAllFourShapes) {
  const auto prompts = [](std::string_view json) {
    CompletionRequest request;
    const Failure failure = ParseCompletionRequest(fmt::format(R"({{"prompt": {}}})", json),
                                                   Endpoint::kCompletions, request);
    EXPECT_FALSE(failure) << json << ": " << failure->message;
    return request.prompts;
  };
  using Ids = std::vector<text::TokenId>;
  EXPECT_EQ(prompts(R"("a\u0000b")"), std::vector<Prompt>{std::string("a\0b", 3)});
  EXPECT_EQ(prompts(R"(["a", ""])"), (std::vector<Prompt>{std::string("a"), std::string()}));
  EXPECT_EQ(prompts("[1, 2147483647]"), (std::vector<Prompt>{Ids{1, 2147483647}}));
  EXPECT_EQ(prompts("[[1], [2, 3]]"), (std::vector<Prompt>{Ids{1}, Ids{2, 3}}));

  std::string many = "[";
  for (int i = 0; i < 129; ++i) many += i == 0 ? "\"x\"" : ",\"x\"";
  for (const std::string& wrong :
       {std::string("[]"), std::string("{}"), std::string("7"), std::string("true"),
        std::string("[1, \"a\"]"), std::string("[\"a\", 1]"), std::string("[[1], \"a\"]"),
        std::string("[-1]"), std::string("[1.0]"), std::string("[2147483648]"),
        std::string("[[[1]]]"), std::string("[null]"), many + "]"}) {
    const Failure failure = Parse(fmt::format(R"({{"prompt": {}}})", wrong));
    ASSERT_TRUE(failure) << wrong;
    EXPECT_EQ(failure->param, "prompt") << wrong;
  }
}

TEST(CompletionRequest, MessagesAreNamedByIndex) {
  const auto failure = [](std::string_view messages) {
    return Parse(fmt::format(R"({{"messages": {}}})", messages), Endpoint::kChat);
  };
  EXPECT_FALSE(failure(
      R"([{"role": "system", "content": "s"}, {"role": "user", "content": [{"type": "text", "text": "t"}]},
                           {"role": "assistant"}])"));
  const std::vector<std::pair<std::string, std::string>> wrong = {
      {"[]", "messages"},
      {"\"hi\"", "messages"},
      {"[7]", "messages[0].role"},
      {R"([{"content": "x"}])", "messages[0].role"},
      {R"([{"role": 7, "content": "x"}])", "messages[0].role"},
      {R"([{"role": "user"}])", "messages[0].content"},
      {R"([{"role": "user", "content": "x"}, {"role": "user", "content": 7}])",
       "messages[1].content"},
      {R"([{"role": "user", "content": [7]}])", "messages[0].content"},
      {R"([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}])",
       "messages[0].content"},
      {R"([{"role": "user", "content": [{"type": "text"}]}])", "messages[0].content"},
  };
  for (const auto& [messages, param] : wrong) {
    const Failure found = failure(messages);
    ASSERT_TRUE(found) << messages;
    EXPECT_EQ(found->param, param) << messages;
  }
}

TEST(CompletionRequest, HostileBodies) {
  std::string deep = R"({"prompt": "x", "ignored": )";
  for (const std::string& body :
       {std::string(), std::string("null"), std::string("[]"), std::string("{"), std::string("{}"),
        std::string("{\"prompt\": \"x\"} x"), std::string("{\"prompt\": \"\xFF\"}"),
        std::string("{\"prompt\": \"\xED\xA0\x80\"}"), std::string(R"({"prompt": "\ud800"})"),
        std::string(R"({"prompt": "x", "prompt": "y"})"),
        std::string(R"({"prompt": "x", "temperature": NaN})"),
        std::string(R"({"prompt": "x", "temperature": 1e999})"),
        std::string("{\"prompt\": \"a\0b\"}", 16), deep + std::string(100'000, '['),
        deep + std::string(70, '[') + std::string(70, ']') + "}"}) {
    const Failure failure = Parse(body);
    ASSERT_TRUE(failure) << body.substr(0, 60);
    EXPECT_EQ(failure->status, 400);
  }
  EXPECT_FALSE(Parse(deep + std::string(60, '[') + std::string(60, ']') + "}"));
}

TEST(CompletionRequest, EveryFieldIsInTheDocumentation) {
  const auto document = core::ReadFile(std::string(OCTAVO_SOURCE_DIR) + "/docs/api.md");
  ASSERT_TRUE(document.ok());
  for (const Field& field : Fields()) {
    EXPECT_NE(document.value().find(fmt::format("`{}`", field.name)), std::string::npos)
        << field.name;
  }
}

TEST(CompletionRequest, BodyCutAtEveryByteIsRefused) {
  const std::string body =
      R"({"prompt": ["é", "b"], "stop": ["x"], "stream_options": {"include_usage": true}, "seed": 1})";
  ASSERT_FALSE(Parse(body));
  for (size_t cut = 0; cut < body.size(); ++cut) EXPECT_TRUE(Parse(body.substr(0, cut))) << cut;
}

}  // namespace
}  // namespace octavo::serve
