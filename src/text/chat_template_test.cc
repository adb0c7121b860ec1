#include "text/chat_template.h"

#include <thread>

#include <gtest/gtest.h>

#include "core/bytes.h"
#include "core/file.h"
#include "core/temp_folder.h"

namespace octavo::text {
namespace {

using core::Json;

// What `source` gives for `messages`, or "ERROR: " and the message.
std::string Rendered(const std::string& source, const Json& messages = Json::array(),
                     const Json& tools = nullptr) {
  const core::Result<ChatTemplate> chat = ChatTemplate::FromText(source, "<s>", "</s>");
  if (!chat.ok()) return "ERROR: " + chat.error().message();
  const core::Result<std::string> text = chat.value().Render(messages, true, tools);
  return text.ok() ? text.value() : "ERROR: " + text.error().message();
}

bool Fails(const std::string& source) {
  return Rendered(source).rfind("ERROR: ", 0) == 0;
}

std::string Repeat(std::string_view text, int times) {
  std::string out;
  for (int i = 0; i < times; ++i) out += text;
  return out;
}

Json Parse(std::string_view text) {
  return core::ParseJson(text).value();
}

// Rendered by Hugging Face transformers.
TEST(ChatTemplate, RendersTheReferenceConversations) {
  const std::string folder = OCTAVO_TESTDATA "/smollm2";
  const core::Result<std::optional<ChatTemplate>> chat = ChatTemplate::Load(folder);
  ASSERT_TRUE(chat.ok()) << chat.error().message();
  ASSERT_TRUE(chat.value().has_value());
  const Json cases = core::ReadJsonFile(folder + "/chat_cases.json").value();
  ASSERT_FALSE(cases.empty());
  for (const Json& one : cases) {
    EXPECT_EQ(chat.value()->Render(one["messages"], true).value(),
              one["rendered"].get<std::string>());
  }
}

TEST(ChatTemplate, ConfigGivesTheDefaultTemplateAndTheTokens) {
  const core::Result<std::optional<ChatTemplate>> chat =
      ChatTemplate::Load(OCTAVO_TESTDATA "/text/byte_level");
  ASSERT_TRUE(chat.ok()) << chat.error().message();
  EXPECT_EQ(chat.value()->Render(Parse(R"([{"role":"user","content":"x"}])"), false).value(),
            "<s>[user]x</s>");
  EXPECT_FALSE(ChatTemplate::Load(OCTAVO_TESTDATA "/text/sentencepiece").value().has_value());
}

TEST(ChatTemplate, BrokenConfigIsAnErrorThatNamesTheFile) {
  const core::TempFolder folder;
  const auto message_for = [&](std::string_view config) {
    EXPECT_TRUE(core::WriteFileAtomic(folder / "tokenizer_config.json", config).ok());
    const auto chat = ChatTemplate::Load(folder.path());
    return chat.ok() ? "loaded" : chat.error().message();
  };
  EXPECT_EQ(message_for(R"({"chat_template":"{{ x }}"})"), "loaded");
  for (const char* config :
       {R"({"chat_template":3})", R"({"chat_template":[{"name":"a","template":"b"}]})",
        R"({"chat_template":"{% if %}"})", R"({"chat_template":[3]})", "{"}) {
    EXPECT_EQ(message_for(config).rfind(folder / "tokenizer_config.json: ", 0), 0u)
        << message_for(config);
  }
}

TEST(ChatTemplate, PartsOfTextAreJoinedAndOthersRefused) {
  const std::string source =
      "{% for m in messages %}{{ m.role }}={{ m.content }};{{ m.name }}{% endfor %}";
  EXPECT_EQ(
      Rendered(
          source,
          Parse(
              R"([{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}],
                                        "name":"n"}])")),
      "user=a\nb;n");
  EXPECT_EQ(Rendered(source, Parse(R"([{"role":"a","content":null}])")), "a=None;");
  EXPECT_EQ(
      Rendered(source, Parse(R"([{"role":"u"},{"role":"user","content":[{"type":"image_url"}]}])")),
      "ERROR: messages[1]: content of type 'image_url' is not supported, only 'text' is");
  EXPECT_EQ(Rendered(source, Parse(R"([{"content":"x"}])")),
            "ERROR: messages[0]: field 'role' is missing, expected a string");
  EXPECT_EQ(Rendered(source, Parse(R"([3])")).rfind("ERROR: messages[0]: ", 0), 0u);
  EXPECT_EQ(
      Rendered(source, Parse(R"([{"role":"u","content":3}])")).rfind("ERROR: messages[0]: ", 0),
      0u);
  EXPECT_EQ(Rendered(source, Parse(R"({"role":"u"})")), "ERROR: 'messages' must be a list");
}

TEST(ChatTemplate, BehavesAsInHuggingFace) {
  // trim_blocks and lstrip_blocks, one final newline dropped, Python's words for constants.
  EXPECT_EQ(Rendered("a\n  {% if true %}\nb\n  {% endif %}\nc\n"), "a\nb\nc");
  EXPECT_EQ(Rendered("{{ true }} {{ none }} {{ 1.0 }} {{ [1, 'a'] }} {{ {'k': none} }}"),
            "True None 1.0 [1, 'a'] {'k': None}");
  EXPECT_EQ(Rendered("{{ bos_token }}{{ eos_token }}{{ add_generation_prompt }}{{ pad_token }}"),
            "<s></s>True");
  EXPECT_EQ(Rendered("{% if tools is none %}no{% endif %}{% if x is defined %}x{% endif %}"), "no");
  EXPECT_EQ(Rendered("{{ ' a '.strip() }}|{{ 'a,b'.split(',')[-1] }}|{{ {'a': 1}.items()|list "
                     "}}|{{ 'A'.lower() }}"),
            "a|b|[('a', 1)]|a");
  EXPECT_EQ(Rendered("{% for i in range(9) %}{% if i == 2 %}{% continue %}{% endif %}"
                     "{% if i == 4 %}{% break %}{% endif %}{{ i }}{% endfor %}"),
            "013");
  EXPECT_EQ(Rendered("{% set ns = namespace(n=0) %}{% for m in [1,2] %}{% set ns.n = ns.n + m %}{% "
                     "endfor %}{{ ns.n }}"),
            "3");
  EXPECT_EQ(Rendered("{%- generation -%} a {%- endgeneration %}b{{ generation }}"), "ab");
  EXPECT_EQ(Rendered("{{ strftime_now('%Y') }}").size(), 4u);
  EXPECT_EQ(Rendered("{{ '<b>' }}"), "<b>");
  const core::Result<ChatTemplate> bare =
      ChatTemplate::FromText("{{ bos_token is defined }}", "", "");
  EXPECT_EQ(bare.value().Render(Json::array(), false).value(), "False");
}

TEST(ChatTemplate, ToJsonIsPythonsDump) {
  const Json tools = Parse(R"([{"z":1,"a":"<é'&>\n","f":[true,null,0.5,{}],"m":{}}])");
  EXPECT_EQ(Rendered("{{ tools[0]|tojson }}", Json::array(), tools),
            "{\"z\": 1, \"a\": \"<\xC3\xA9'&>\\n\", \"f\": [true, null, 0.5, {}], \"m\": {}}");
  EXPECT_EQ(Rendered("{{ {'b': [1], 'a': []}|tojson(indent=2) }}"),
            "{\n  \"b\": [\n    1\n  ],\n  \"a\": []\n}");
  EXPECT_EQ(Rendered("{{ {'b': 1, 'a': 2}|tojson(sort_keys=true, separators=(',', ':')) }}"),
            "{\"a\":2,\"b\":1}");
  EXPECT_EQ(Rendered("{{ tools|tojson(ensure_ascii=true) }}", Json::array(),
                     Parse("[\"\u00e9\U0001F642\"]")),
            "[\"\\u00e9\\ud83d\\ude42\"]");
  EXPECT_TRUE(Fails("{{ x|tojson }}"));
  EXPECT_TRUE(Fails("{{ 1|tojson(nonsense=2) }}"));
}

TEST(ChatTemplate, RaiseExceptionReachesTheCaller) {
  const std::string message = Rendered("{{ raise_exception('roles must alternate') }}");
  EXPECT_NE(message.find("the chat template failed: "), std::string::npos) << message;
  EXPECT_NE(message.find("roles must alternate"), std::string::npos) << message;
}

TEST(ChatTemplate, SyntaxErrorsNameTheLine) {
  const std::string message = Rendered("ok\n{% if %}");
  EXPECT_NE(message.find("chat_template:2"), std::string::npos) << message;
  for (const char* source : {"{% include 'x' %}", "{% import 'x' as y %}", "{% extends 'x' %}",
                             "{{", "{% for %}", "{{ 'a }}"}) {
    EXPECT_TRUE(Fails(source)) << source;
  }
}

TEST(ChatTemplate, DeepSourcesAreErrorsNotCrashes) {
  for (const int depth : {100, 1'000, 20'000, 200'000}) {
    for (const char* open : {"(", "[", "{1:", "-", "not ", "x.", "x|", "x+", "x**", "x and ",
                             "1 if 1 else ", "x(", "x[", "x is "}) {
      const std::string text = Rendered("{{ " + Repeat(open, depth) + "x }}");
      // Short chains are legal; the others must be refused.
      EXPECT_TRUE(depth < 20'000 || text.rfind("ERROR: ", 0) == 0) << open << depth;
    }
    for (const char* open : {"{% if x %}", "{% for a in x recursive %}", "{% macro a() %}",
                             "{% set a %}", "{#", "{% raw %}", "{%"}) {
      EXPECT_TRUE(Fails(Repeat(open, depth))) << open << depth;
    }
    const std::string elifs = Rendered("{% if x %}" + Repeat("{%elif x%}", depth) + "{%endif%}");
    EXPECT_EQ(elifs, depth <= 1'000 ? "" : elifs);
    EXPECT_TRUE(depth < 20'000 || elifs.rfind("ERROR: ", 0) == 0);
  }
  EXPECT_EQ(Rendered("{{ 1" + Repeat(" + 1", 1'000) + " }}"), "1001");
}

TEST(ChatTemplate, ValuesThatNestDeepAreDroppedAndPrintedWithoutACrash) {
  for (const char* use :
       {"", "{{ ns.x }}", "{{ ns.x|tojson }}", "{{ ns.x == [ns.x] }}",
        "{{ [ns.x, ns.x]|sort|length }}", "{{ {ns.x: 1} }}", "{{ raise_exception(ns.x) }}"}) {
    for (const char* step :
         {"[ns.x]", "{'a': ns.x}", "(ns.x,)", "ns.x|map('string')", "ns.x|reverse"}) {
      static_cast<void>(Rendered(
          std::string("{% set ns = namespace(x=[]) %}{% for i in range(20000) %}{% set ns.x = ") +
          step + " %}{% endfor %}" + use));
    }
  }
}

TEST(ChatTemplate, EndlessWorkEnds) {
  for (const char* source :
       {"{{ range(1000000000)|list|length }}", "{% for i in range(1000000000) %}{% endfor %}",
        "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}",
        "{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}", "{{ 'a' * 1000000000 }}",
        "{% for a in [[1]] recursive %}{{ loop([a]) }}{% endfor %}",
        "{% set ns = namespace(x='a') %}{% for i in range(64) %}{% set ns.x = ns.x ~ ns.x %}{% "
        "endfor %}{{ ns.x }}",
        "{{ 10 ** 10000000 }}", "{{ '{:999999999}'.format(1) }}", "{{ '%999999999s'|format('a') }}",
        "{{ 'a\nb'|indent(1000000000) }}", "{{ [1]|tojson(indent=1000000000) }}",
        "{{ [1]|batch(1000000000, 1)|list }}", "{{ strftime_now('%999999999d') }}",
        "{{ range(100000)|join('a' * 100000) }}", "{{ 1 // 0 }}",
        "{% for i in range(100000) %}{{ "
        "'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
        "a' * 100 }}{% endfor %}"}) {
    EXPECT_TRUE(Fails(source)) << source;
  }
}

// Each slice looks through all that were made before it, which costs far more than the steps that
// are counted.
TEST(ChatTemplate, WorkThatIsNotCountedEndsByTheClock) {
  const core::Result<ChatTemplate> chat =
      ChatTemplate::FromText("{% set ns = namespace(x=[]) %}{% for i in range(100000) %}" +
                                 Repeat("{% set ns.x = ns.x[0:] %}", 6) + "{% endfor %}",
                             "", "");
  ASSERT_TRUE(chat.ok());
  EXPECT_FALSE(chat.value().Render(Json::array(), true).ok());
}

TEST(ChatTemplate, ThreadsShareOne) {
  const core::Result<ChatTemplate> chat =
      ChatTemplate::FromText("{{ messages[0].content }}", "", "");
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] {
      const std::string content = std::to_string(i);
      const Json messages = Json::array({{{"role", "user"}, {"content", content}}});
      for (int round = 0; round < 50; ++round)
        EXPECT_EQ(chat.value().Render(messages, true).value(), content);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace octavo::text
