// Prompt files: the accepted forms, the refused ones, and what a model sees of them.
#include "eval/prompts.h"

#include <gtest/gtest.h>

namespace octavo::eval {
namespace {

TEST(Prompts, ReadsEachForm) {
  const auto prompts = ParsePrompts(
      "{\"messages\": [{\"role\": \"user\", \"content\": \"hi\"}], \"model\": \"m\"}\n"
      "\n"
      "{\"prompt\": \"Once\"}\r\n"
      "{\"custom_id\": \"1\", \"url\": \"/v1/completions\", \"body\": {\"prompt\": \"upon\", "
      "\"n\": 1}}\n"
      "{\"body\": {\"messages\": [{\"role\": \"user\", \"content\": [{\"type\": \"text\", "
      "\"text\": \"x\"}]}]}}");
  ASSERT_TRUE(prompts.ok()) << prompts.error().message();
  ASSERT_EQ(prompts.value().size(), 4u);
  EXPECT_EQ((*prompts.value()[0].messages)[0]["content"], "hi");
  EXPECT_EQ(prompts.value()[1].text, "Once");
  EXPECT_EQ(prompts.value()[1].line, 3);
  EXPECT_EQ(prompts.value()[2].text, "upon");
  EXPECT_TRUE(prompts.value()[3].messages.has_value());
}

TEST(Prompts, RefusesOtherLinesByNumber) {
  struct Case {
    const char* jsonl;
    const char* message;
  };
  for (const Case& c : {
           Case{"", "no prompts"},
           Case{"\n \n", "no prompts"},
           Case{"{\"prompt\": \"a\"}\nhello", "line 2"},
           Case{"{\"prompt\": \"a\"", "line 1"},
           Case{"[]", "line 1"},
           Case{"3", "line 1"},
           Case{"{}", "either 'messages' or 'prompt'"},
           Case{"{\"text\": \"a\"}", "either 'messages' or 'prompt'"},
           Case{"{\"prompt\": \"a\", \"messages\": [{\"role\": \"user\", \"content\": \"b\"}]}",
                "either"},
           Case{"{\"prompt\": [\"a\", \"b\"]}", "'prompt' is a list"},
           Case{"{\"prompt\": \"\"}", "'prompt' is empty"},
           Case{"{\"messages\": []}", "one or more messages"},
           Case{"{\"messages\": \"hi\"}", "one or more messages"},
           Case{"{\"messages\": [\"hi\"]}", "role"},
           Case{"{\"messages\": [{\"content\": \"hi\"}]}", "'role' is missing"},
           Case{"{\"messages\": [{\"role\": \"user\"}]}", "needs 'content'"},
           Case{"{\"body\": 3}", "line 1"},
       }) {
    const auto prompts = ParsePrompts(c.jsonl);
    ASSERT_FALSE(prompts.ok()) << c.jsonl;
    EXPECT_NE(prompts.error().message().find(c.message), std::string::npos)
        << c.jsonl << " gave " << prompts.error().message();
  }
}

TEST(Prompts, KeepsToolsAndTheTextsOfAllMessages) {
  const auto prompts = ParsePrompts(
      "{\"tools\": [{\"type\": \"function\"}], \"messages\": [{\"role\": \"user\", \"content\": "
      "\"add\"}, {\"role\": \"assistant\", \"content\": null, \"tool_calls\": []}, {\"role\": "
      "\"tool\", "
      "\"content\": [{\"type\": \"text\", \"text\": \"3\"}]}]}\n{\"prompt\": \"Once\"}");
  ASSERT_TRUE(prompts.ok()) << prompts.error().message();
  EXPECT_EQ(prompts.value()[0].tools[0]["type"], "function");
  EXPECT_EQ(WrittenText(prompts.value()[0]), "add\n3");
  EXPECT_EQ(WrittenText(prompts.value()[1]), "Once");
}

TEST(Prompts, EveryTruncationIsReadOrRefused) {
  const std::string whole =
      "{\"messages\": [{\"role\": \"user\", \"content\": \"h\\u00e9\"}]}\n{\"prompt\": \"Once\"}";
  for (size_t length = 0; length < whole.size(); ++length) {
    const auto prompts = ParsePrompts(std::string_view(whole).substr(0, length));
    const size_t first_line = whole.find('\n');
    EXPECT_EQ(prompts.ok(), length == first_line || length == first_line + 1) << length;
  }
}

class RenderTest : public ::testing::Test {
 protected:
  const std::string folder_ = std::string(OCTAVO_TESTDATA) + "/text/byte_level";
  const text::Tokenizer tokenizer_ = text::Tokenizer::Load(folder_).value();
};

TEST_F(RenderTest, AChatGoesThroughTheTemplateAndAPlainTextDoesNot) {
  const auto chat_template = text::ChatTemplate::Load(folder_).value();
  ASSERT_TRUE(chat_template.has_value());
  const auto prompts = ParsePrompts(
      "{\"messages\": [{\"role\": \"user\", \"content\": \"hello\"}]}\n{\"prompt\": \"hello\"}");
  const auto chat = RenderPrompt(prompts.value()[0], tokenizer_, &*chat_template);
  ASSERT_TRUE(chat.ok()) << chat.error().message();
  EXPECT_EQ(chat.value().text, "<s>[user]hello</s>");
  EXPECT_EQ(chat.value().ids, tokenizer_.Encode("<s>[user]hello</s>", false).value());
  const auto plain = RenderPrompt(prompts.value()[1], tokenizer_, nullptr);
  ASSERT_TRUE(plain.ok()) << plain.error().message();
  EXPECT_EQ(plain.value().text, "hello");
  EXPECT_EQ(plain.value().ids, tokenizer_.Encode("hello", true).value());
}

TEST_F(RenderTest, AChatNeedsATemplate) {
  const auto prompts =
      ParsePrompts("{\"messages\": [{\"role\": \"user\", \"content\": \"hello\"}]}");
  const auto rendered = RenderPrompt(prompts.value()[0], tokenizer_, nullptr);
  ASSERT_FALSE(rendered.ok());
  EXPECT_NE(rendered.error().message().find("no chat template"), std::string::npos);
}

}  // namespace
}  // namespace octavo::eval
