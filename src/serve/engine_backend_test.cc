#include "serve/engine_backend.h"

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "core/temp_folder.h"
#include "engine/fixture.h"
#include "net/client.h"
#include "proof/kernel_report.h"
#include "serve/api_server.h"

namespace octavo::serve {
namespace {

constexpr const char* kTemplate =
    "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant: ";

class EngineBackendTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_NO_FATAL_FAILURE(engine::WriteModelWithTokenizer("llama", "byte_level", folder_.path()));
    engine::EngineOptions options;
    options.threads = 1;
    options.kv_tokens = 1024;
    auto loaded = engine::Engine::Load(folder_.path(), options);
    ASSERT_TRUE(loaded.ok()) << loaded.error().message();
    engine_ = std::move(loaded).value();
    engine::SchedulerOptions scheduling;
    scheduling.max_batch = 4;
    scheduler_ = std::make_unique<engine::Scheduler>(*engine_, scheduling);
    backend_ = std::make_unique<EngineBackend>(
        *engine_->tokenizer(), text::ChatTemplate::FromText(kTemplate, "", "").value(),
        *scheduler_);
    ApiOptions api;
    api.port = 0;
    server_ = ApiServer::Start(api).value();
    server_->Serve({"tiny", engine_->config().context, 0,
                    [this] {
                      return proof::KernelReport(engine_->model(), {"digest", {}});
                    }},
                   *backend_);
  }

  core::Json Post(const std::string& path, const core::Json& body) {
    const auto response = net::Client("127.0.0.1", server_->port())
                              .Send({"POST", path, {}, core::DumpJsonLine(body), ""});
    EXPECT_TRUE(response.ok());
    EXPECT_EQ(response.value().status, 200) << response.value().body;
    return core::ParseJson(response.value().body).value();
  }
  std::string Complete(const std::string& prompt, int max_tokens) {
    return Post("/v1/completions", {{"prompt", prompt},
                                    {"max_tokens", max_tokens},
                                    {"temperature", 0},
                                    {"ignore_eos", true}})["choices"][0]["text"]
        .get<std::string>();
  }
  // What the engine says without a server.
  std::string Generate(const std::string& prompt, bool special, int max_tokens) {
    auto engine = engine::Engine::Load(folder_.path(), engine_->options()).value();
    engine::GenerationRequest request;
    request.prompt = engine->tokenizer()->Encode(prompt, special).value();
    request.sampling.max_tokens = max_tokens;
    request.sampling.ignore_eos = true;
    std::string text;
    request.on_event = [&](engine::GenerationEvent&& event) { text += event.text; };
    EXPECT_TRUE(engine::Generate(*engine, request, core::CancelToken()).ok());
    return text;
  }

  core::TempFolder folder_;
  std::unique_ptr<engine::Engine> engine_;
  std::unique_ptr<engine::Scheduler> scheduler_;
  std::unique_ptr<EngineBackend> backend_;
  std::unique_ptr<ApiServer> server_;
};

TEST_F(EngineBackendTest, AnswersAreTheEnginesAloneAndTogether) {
  std::vector<std::string> prompts;
  std::vector<std::string> expected;
  for (int i = 0; i < 6; ++i) {
    prompts.push_back(fmt::format("Prompt number {}", i));
    expected.push_back(Generate(prompts.back(), /*special=*/true, 20));
    EXPECT_FALSE(expected.back().empty());
    EXPECT_EQ(Complete(prompts.back(), 20), expected.back());
  }
  std::vector<std::string> together(prompts.size());
  std::vector<std::thread> clients;
  for (size_t i = 0; i < prompts.size(); ++i) {
    clients.emplace_back([&, i] { together[i] = Complete(prompts[i], 20); });
  }
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(together, expected);
}

TEST_F(EngineBackendTest, ChatGoesThroughTheTemplate) {
  const core::Json body = {{"messages", {{{"role", "user"}, {"content", "hi"}}}},
                           {"max_tokens", 12},
                           {"temperature", 0},
                           {"ignore_eos", true}};
  const core::Json answer = Post("/v1/chat/completions", body);
  EXPECT_EQ(answer["choices"][0]["message"]["content"],
            Generate("user: hi\nassistant: ", /*special=*/false, 12));
  EXPECT_EQ(answer["choices"][0]["finish_reason"], "length");
  EXPECT_EQ(answer["usage"]["completion_tokens"], 12);
}

TEST_F(EngineBackendTest, WithoutATemplateChatsAreRefusedByName) {
  EngineBackend plain(*engine_->tokenizer(), std::nullopt, *scheduler_);
  const auto text = plain.RenderChat(core::Json::array());
  ASSERT_FALSE(text.ok());
  EXPECT_NE(text.error().message().find("chat template"), std::string::npos);
}

TEST_F(EngineBackendTest, ClientThatLeavesFreesItsMemory) {
  const int64_t baseline = scheduler_->stats().free_kv_tokens;
  const core::Json body = {
      {"prompt", "on and on"}, {"max_tokens", 200}, {"stream", true}, {"ignore_eos", true}};
  for (int i = 0; i < 5; ++i) {
    net::Client client("127.0.0.1", server_->port());
    const auto response =
        client.Stream({"POST", "/v1/completions", {}, core::DumpJsonLine(body), ""},
                      [](std::string_view) { return false; });
    ASSERT_TRUE(response.ok());
    for (engine::SchedulerStats stats = scheduler_->stats();
         stats.running + stats.waiting > 0 || stats.free_kv_tokens != baseline;
         stats = scheduler_->stats()) {
      std::this_thread::yield();
    }
  }
}

TEST_F(EngineBackendTest, KernelsAreThoseThatRan) {
  Complete("x", 2);
  const auto response =
      net::Client("127.0.0.1", server_->port()).Send({"GET", "/octavo/kernels", {}, "", ""});
  ASSERT_TRUE(response.ok());
  const core::Json report = core::ParseJson(response.value().body).value();
  for (const core::Json& layer : report["layers"]) EXPECT_GT(layer["calls"], 0) << layer;
}

TEST_F(EngineBackendTest, TokenTextAndLogprobs) {
  const core::Json answer = Post("/v1/completions", {{"prompt", "abc"},
                                                     {"max_tokens", 5},
                                                     {"temperature", 0},
                                                     {"logprobs", 1},
                                                     {"ignore_eos", true}});
  const core::Json& logprobs = answer["choices"][0]["logprobs"];
  ASSERT_EQ(logprobs["tokens"].size(), 5U);
  for (size_t i = 0; i < 5; ++i) {
    EXPECT_LE(logprobs["token_logprobs"][i], 0);
    // Exactly the same number in both places: evaluation harnesses compare them for equality.
    EXPECT_EQ(logprobs["top_logprobs"][i][logprobs["tokens"][i].get<std::string>()],
              logprobs["token_logprobs"][i]);
  }
  EXPECT_EQ(backend_->TokenText(1'000'000), "");
}

}  // namespace
}  // namespace octavo::serve
