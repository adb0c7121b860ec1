#include "serve/api_server.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "core/bytes.h"
#include "net/client.h"
#include "net/test_socket.h"
#include "serve/echo_backend.h"

namespace octavo::serve {
namespace {

constexpr int64_t kContext = 100;

class ApiServerTest : public ::testing::Test {
 protected:
  void StartServer(const std::string& key = "", bool with_model = true) {
    ApiOptions options;
    options.port = 0;
    options.api_key = key;
    auto server = ApiServer::Start(options);
    ASSERT_TRUE(server.ok()) << server.error().message();
    server_ = std::move(server).value();
    if (with_model) ServeModel();
  }
  void ServeModel() {
    server_->Serve({"echo", kContext, 1700000000,
                    [] {
                      return core::Json{{"layers", core::Json::array()}};
                    }},
                   backend_);
  }

  net::Response Call(const std::string& method, const std::string& path,
                     const std::string& body = "", const net::Headers& headers = {}) {
    auto response =
        net::Client("127.0.0.1", server_->port()).Send({method, path, headers, body, ""});
    EXPECT_TRUE(response.ok()) << response.error().message();
    return response.ok() ? response.value() : net::Response{0, {}, ""};
  }
  net::Response Post(const std::string& path, const std::string& body) {
    return Call("POST", path, body);
  }
  core::Json Json(const net::Response& response) {
    auto json = core::ParseJson(response.body);
    EXPECT_TRUE(json.ok()) << response.body;
    return json.ok() ? json.value() : core::Json();
  }
  // The error object of an answer that must be one, in OpenAI's shape.
  core::Json Error(const net::Response& response, int status) {
    EXPECT_EQ(response.status, status) << response.body;
    const core::Json json = Json(response);
    EXPECT_EQ(json.size(), 1U) << response.body;
    const core::Json error = json.value("error", core::Json::object());
    EXPECT_TRUE(error.contains("message") && error["message"].is_string()) << response.body;
    EXPECT_TRUE(error.contains("type") && error["type"].is_string()) << response.body;
    EXPECT_TRUE(error.contains("param") && error.contains("code")) << response.body;
    return error;
  }
  // The events of a stream: parsed chunks, and the last one checked to be [DONE].
  std::vector<core::Json> Stream(const std::string& path, const std::string& body) {
    std::vector<std::string> events;
    const auto response = net::Client("127.0.0.1", server_->port())
                              .Stream({"POST", path, {}, body, ""}, [&](std::string_view data) {
                                events.emplace_back(data);
                                return true;
                              });
    EXPECT_TRUE(response.ok());
    EXPECT_EQ(response.value().status, 200);
    EXPECT_FALSE(events.empty());
    if (events.empty()) return {};
    EXPECT_EQ(events.back(), "[DONE]");
    events.pop_back();
    std::vector<core::Json> chunks;
    for (const std::string& event : events) chunks.push_back(core::ParseJson(event).value());
    return chunks;
  }

  EchoBackend backend_;
  std::unique_ptr<ApiServer> server_;
};

TEST_F(ApiServerTest, ModelsHealthAndKernels) {
  StartServer();
  EXPECT_EQ(Call("GET", "/health").body, R"({"status":"ok"})");
  EXPECT_EQ(Call("GET", "/v1/health?x=1").status, 200);
  const core::Json models = Json(Call("GET", "/v1/models"));
  EXPECT_EQ(models["object"], "list");
  EXPECT_EQ(models["data"][0]["id"], "echo");
  EXPECT_EQ(models["data"][0]["object"], "model");
  EXPECT_EQ(models["data"][0]["max_model_len"], kContext);
  EXPECT_FALSE(models["data"][0].contains("name"));
  EXPECT_TRUE(Json(Call("GET", "/octavo/kernels")).contains("layers"));
}

TEST_F(ApiServerTest, CompletionInOpenAisShape) {
  StartServer();
  const core::Json answer =
      Json(Post("/v1/completions", R"({"model": "echo", "prompt": "hello", "max_tokens": 3})"));
  EXPECT_EQ(answer["object"], "text_completion");
  EXPECT_EQ(answer["model"], "echo");
  EXPECT_EQ(answer["id"].get<std::string>().substr(0, 5), "cmpl-");
  EXPECT_TRUE(answer["created"].is_number_integer());
  const core::Json expected =
      core::ParseJson(
          R"([{"index": 0, "text": "hel", "logprobs": null, "finish_reason": "length"}])")
          .value();
  EXPECT_EQ(answer["choices"], expected);
  EXPECT_EQ(answer["usage"],
            core::ParseJson(R"({"prompt_tokens": 6, "completion_tokens": 3, "total_tokens": 9})")
                .value());
}

TEST_F(ApiServerTest, ChatInOpenAisShape) {
  StartServer();
  const core::Json answer =
      Json(Post("/v1/chat/completions", R"({"messages": [{"role": "user", "content": "hé"}]})"));
  EXPECT_EQ(answer["object"], "chat.completion");
  EXPECT_EQ(answer["id"].get<std::string>().substr(0, 9), "chatcmpl-");
  const core::Json expected =
      core::ParseJson(
          R"([{"index": 0, "message": {"role": "assistant", "content": "hé"}, "logprobs": null, "finish_reason": "stop"}])")
          .value();
  EXPECT_EQ(answer["choices"], expected);
  EXPECT_EQ(answer["usage"]["prompt_tokens"], 3);  // the template writes its own special tokens
  EXPECT_EQ(backend_.last().sampling.max_tokens, kContext - 3);
}

TEST_F(ApiServerTest, DefaultsAreOpenAis) {
  StartServer();
  Post("/v1/completions", R"({"prompt": "a"})");
  EXPECT_EQ(backend_.last().sampling.max_tokens, 16);
  EXPECT_EQ(backend_.last().sampling.temperature, 1);
  EXPECT_EQ(backend_.last().sampling.top_p, 1);
  EXPECT_EQ(backend_.last().sampling.top_k, 0);
  const uint64_t first = backend_.last().sampling.seed;
  Post("/v1/completions", R"({"prompt": "a"})");
  EXPECT_NE(backend_.last().sampling.seed, first);
  Post("/v1/completions", R"({"prompt": "a", "seed": 5})");
  EXPECT_EQ(backend_.last().sampling.seed, 5U);
  // A default gives way to the context; what was asked for does not.
  Post("/v1/completions", fmt::format(R"({{"prompt": "{}"}})", std::string(90, 'x')));
  EXPECT_EQ(backend_.last().sampling.max_tokens, 9);
}

TEST_F(ApiServerTest, SeveralPromptsComeBackInOrder) {
  StartServer();
  core::Json answer = Json(Post("/v1/completions", R"({"prompt": ["one", "two", "three"]})"));
  ASSERT_EQ(answer["choices"].size(), 3U);
  EXPECT_EQ(answer["choices"][1]["index"], 1);
  EXPECT_EQ(answer["choices"][1]["text"], "two");
  EXPECT_EQ(answer["choices"][2]["text"], "three");
  EXPECT_EQ(answer["usage"]["prompt_tokens"], 14);
  answer = Json(Post("/v1/completions", R"({"prompt": [[72, 105], [33]]})"));
  EXPECT_EQ(answer["choices"][0]["text"], "Hi");
  EXPECT_EQ(answer["choices"][1]["text"], "!");
  EXPECT_EQ(answer["usage"]["prompt_tokens"], 3);  // nothing is added to token ids

  std::string texts[3];
  for (const core::Json& chunk :
       Stream("/v1/completions", R"({"prompt": ["one", "two", "three"], "stream": true})")) {
    texts[chunk["choices"][0]["index"].get<size_t>()] +=
        chunk["choices"][0]["text"].get<std::string>();
  }
  EXPECT_EQ(texts[0] + "," + texts[1] + "," + texts[2], "one,two,three");
}

TEST_F(ApiServerTest, ChatStreamHasRoleTextFinishAndUsage) {
  StartServer();
  const auto chunks = Stream("/v1/chat/completions",
                             R"({"messages": [{"role": "user", "content": "aé€"}], "stream": true,
                                 "stream_options": {"include_usage": true, "continuous_usage_stats": true}})");
  ASSERT_EQ(chunks.size(), 6U);
  std::string text;
  for (size_t i = 0; i < chunks.size(); ++i) {
    EXPECT_EQ(chunks[i]["object"], "chat.completion.chunk");
    EXPECT_EQ(chunks[i]["id"], chunks[0]["id"]);
    ASSERT_TRUE(chunks[i].contains("choices") && chunks[i].contains("usage"));
    if (i + 1 == chunks.size()) break;
    const core::Json& choice = chunks[i]["choices"][0];
    ASSERT_TRUE(choice.contains("finish_reason")) << "clients read it in every chunk";
    EXPECT_EQ(choice["finish_reason"], i == 4 ? core::Json("stop") : core::Json());
    EXPECT_TRUE(chunks[i]["usage"].is_null());
    text += choice["delta"].value("content", "");
  }
  EXPECT_EQ(chunks[0]["choices"][0]["delta"],
            core::ParseJson(R"({"role": "assistant", "content": ""})").value());
  EXPECT_EQ(chunks[2]["choices"][0]["delta"]["content"], "é");
  EXPECT_EQ(chunks[4]["choices"][0]["delta"], core::Json::object());
  EXPECT_EQ(text, "aé€");
  EXPECT_EQ(chunks[5]["choices"], core::Json::array());
  EXPECT_EQ(chunks[5]["usage"],
            core::ParseJson(R"({"prompt_tokens": 6, "completion_tokens": 6, "total_tokens": 12})")
                .value());
}

TEST_F(ApiServerTest, StreamWithoutUsageHasNone) {
  StartServer();
  const auto chunks = Stream("/v1/completions", R"({"prompt": "ab", "stream": true})");
  ASSERT_EQ(chunks.size(), 3U);
  for (const core::Json& chunk : chunks) {
    EXPECT_EQ(chunk["object"], "text_completion");
    EXPECT_FALSE(chunk.contains("usage"));
    ASSERT_TRUE(chunk["choices"][0].contains("finish_reason"));
  }
  EXPECT_EQ(chunks[0]["choices"][0]["text"], "a");
  EXPECT_EQ(chunks[2]["choices"][0]["finish_reason"], "stop");
}

TEST_F(ApiServerTest, LogprobsInBothShapes) {
  StartServer();
  const core::Json legacy =
      Json(Post("/v1/completions", R"({"prompt": "é!", "logprobs": 1, "temperature": 0})"));
  EXPECT_EQ(legacy["choices"][0]["logprobs"],
            core::ParseJson(R"({"tokens": ["\ufffd", "\ufffd", "!"],
      "token_logprobs": [-0.5, -0.5, -0.5], "top_logprobs": [{"\ufffd": -0.5}, {"\ufffd": -0.5}, {"!": -0.5}],
      "text_offset": [0, 1, 2]})")
                .value());
  EXPECT_TRUE(
      Json(Post("/v1/completions",
                R"({"prompt": "a", "logprobs": 0})"))["choices"][0]["logprobs"]["top_logprobs"]
          .is_null());
  const core::Json chat = Json(Post(
      "/v1/chat/completions",
      R"({"messages": [{"role": "user", "content": "a"}], "logprobs": true, "top_logprobs": 0})"));
  EXPECT_EQ(
      chat["choices"][0]["logprobs"],
      core::ParseJson(
          R"({"content": [{"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": []}]})")
          .value());
  int64_t tokens = 0;
  for (const core::Json& chunk :
       Stream("/v1/completions", R"({"prompt": "aé", "logprobs": 0, "stream": true})")) {
    const core::Json& logprobs = chunk["choices"][0]["logprobs"];
    if (logprobs.is_null()) continue;
    EXPECT_EQ(logprobs["text_offset"][0], tokens++);
  }
  EXPECT_EQ(tokens, 3);
}

TEST_F(ApiServerTest, PromptThatDoesNotFitIs400BeforeAnyStream) {
  StartServer();
  for (const char* stream : {"false", "true"}) {
    const std::vector<std::pair<std::string, std::string>> cases = {
        {"/v1/completions",
         fmt::format(R"({{"prompt": "{}", "stream": {}}})", std::string(200, 'x'), stream)},
        {"/v1/completions",
         fmt::format(R"({{"prompt": "{}", "stream": {}}})", std::string(100'000, 'x'), stream)},
        {"/v1/completions",
         fmt::format(R"({{"prompt": "x", "max_tokens": 99, "stream": {}}})", stream)},
        {"/v1/completions",
         fmt::format(R"({{"prompt": ["x", "{}"], "stream": {}}})", std::string(100, 'x'), stream)},
        {"/v1/chat/completions",
         fmt::format(R"({{"messages": [{{"role": "user", "content": "{}"}}], "stream": {}}})",
                     std::string(100, 'x'), stream)},
    };
    for (const auto& [path, body] : cases) {
      const core::Json error = Error(Post(path, body), 400);
      EXPECT_EQ(error["code"], "context_length_exceeded") << body.substr(0, 60);
      EXPECT_EQ(error["type"], "invalid_request_error");
      EXPECT_NE(error["message"].get<std::string>().find("maximum context length is 100 tokens"),
                std::string::npos);
    }
  }
  EXPECT_EQ(Post("/v1/completions", R"({"prompt": "x", "max_tokens": 98})").status, 200);
}

TEST_F(ApiServerTest, RequestsThatCannotBeServedAre4xx) {
  StartServer();
  EXPECT_EQ(Error(Post("/v1/completions", R"({"prompt": "x", "model": "gpt-4"})"), 404)["code"],
            "model_not_found");
  EXPECT_EQ(Error(Post("/v1/completions", R"({"prompt": "x", "temperature": 3})"), 400)["param"],
            "temperature");
  EXPECT_EQ(Error(Post("/v1/completions", R"({"prompt": "x", "echo": true})"), 400)["param"],
            "echo");
  EXPECT_EQ(Error(Post("/v1/completions", R"({"prompt": [[]]})"), 400)["param"], "prompt");
  EXPECT_EQ(Error(Post("/v1/completions", R"({"prompt": [300]})"), 400)["code"], core::Json());
  EXPECT_EQ(Error(Post("/v1/chat/completions",
                       R"({"messages": [{"role": "impossible", "content": "x"}]})"),
                  400)["param"],
            "messages");
  Error(Post("/v1/completions", ""), 400);
  Error(Post("/v1/completions", std::string(100'000, '[')), 400);
  Error(Call("GET", "/v1/nothing"), 404);
  Error(Call("GET", "/"), 404);
  Error(Call("GET", "/health/../v1/models"), 404);
  const net::Response wrong_method = Call("GET", "/v1/completions");
  Error(wrong_method, 405);
  EXPECT_EQ(*net::FindHeader(wrong_method.headers, "Allow"), "POST");
}

TEST_F(ApiServerTest, FullQueueIs429EvenForTheLastOfSeveralPrompts) {
  StartServer();
  for (const char* stream : {"false", "true"}) {
    const net::Response response =
        Post("/v1/completions",
             fmt::format(R"({{"prompt": ["a", "HOLD", "FULL"], "stream": {}}})", stream));
    EXPECT_EQ(Error(response, 429)["type"], "rate_limit_error");
    EXPECT_NE(net::FindHeader(response.headers, "Retry-After"), nullptr);
  }
  backend_.WaitCancelled(4);  // those that were accepted before it
}

TEST_F(ApiServerTest, FailureOfTheModelIs500OrTheLastEvent) {
  StartServer();
  EXPECT_EQ(Error(Post("/v1/completions", R"({"prompt": "FAIL"})"), 500)["type"], "server_error");
  const auto chunks = Stream("/v1/completions", R"({"prompt": "FAIL", "stream": true})");
  ASSERT_EQ(chunks.size(), 2U);
  EXPECT_EQ(chunks[0]["choices"][0]["text"], "F");
  EXPECT_EQ(chunks[1]["error"]["message"], "The model failed: out of luck");
}

TEST_F(ApiServerTest, ClientThatLeavesCancelsItsRequests) {
  StartServer();
  size_t cancelled = 0;
  for (const char* body : {R"({"prompt": "HOLD"})", R"({"prompt": "HOLD", "stream": true})",
                           R"({"prompt": ["HOLD", "HOLD"]})"}) {
    net::TestSocket socket(server_->port());
    socket.Send(fmt::format(
        "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{}",
        std::string_view(body).size(), body));
    cancelled += std::string_view(body).find('[') == std::string_view::npos ? 1U : 2U;
    backend_.WaitSubmitted(static_cast<engine::RequestId>(cancelled));
    socket.Close();
    backend_.WaitCancelled(cancelled);
  }
  EXPECT_EQ(Post("/v1/completions", R"({"prompt": "alive"})").status, 200);
}

TEST_F(ApiServerTest, WhileLoadingEverythingIs503) {
  StartServer("", /*with_model=*/false);
  for (const Route& route : Routes()) {
    const net::Response response = Call(std::string(route.method), std::string(route.path), "{}");
    EXPECT_EQ(Error(response, 503)["message"], "Loading model") << route.path;
  }
  ServeModel();
  EXPECT_EQ(Call("GET", "/health").status, 200);
}

TEST_F(ApiServerTest, WhileDrainingNewRequestsGet503AndOldOnesFinish) {
  StartServer();
  net::TestSocket running(server_->port());
  const std::string_view body = R"({"prompt": "HOLD"})";
  running.Send(fmt::format(
      "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{}",
      body.size(), body));
  backend_.WaitSubmitted(1);
  EXPECT_FALSE(server_->Drain(0));
  Error(Call("GET", "/health"), 503);
  Error(Post("/v1/completions", R"({"prompt": "a"})"), 503);
  backend_.Cancel(1);  // as a scheduler does that shuts down
  EXPECT_NE(running.ReadAll().find("shutting down"), std::string::npos);
  EXPECT_TRUE(server_->Drain(60));
}

TEST_F(ApiServerTest, EveryRouteIsClosedWithoutTheKeyUnlessItSaysSo) {
  StartServer("secret");
  std::vector<Route> routes = Routes();
  EXPECT_EQ(routes.size(), 6U);
  for (const Route& route : routes) {
    const std::string method(route.method);
    const std::string path(route.path);
    const bool open = path == "/health" || path == "/v1/health";
    EXPECT_EQ(route.needs_key, !open) << path;
    for (const net::Headers& headers :
         {net::Headers{}, net::Headers{{"Authorization", "Bearer wrong"}},
          net::Headers{{"Authorization", "secret"}}}) {
      const net::Response response = Call(method, path, "{}", headers);
      if (open) {
        EXPECT_EQ(response.status, 200) << path;
      } else {
        EXPECT_EQ(Error(response, 401)["code"], "invalid_api_key") << path;
      }
    }
    const net::Header key{"Authorization", "Bearer secret"};
    EXPECT_NE(Call(method, path, "{}", {key}).status, 401) << path;
    Error(Call(method, path, "{}", {key, {"Origin", "http://evil.example"}}), 403);
  }
  Error(Call("GET", "/v1/nothing"), 401);
  Error(Call("DELETE", "/v1/models"), 401);
}

TEST_F(ApiServerTest, WithoutAKeyOtherHostNamesAreRefused) {
  StartServer();
  for (const Route& route : Routes()) {
    const net::Response response =
        Call(std::string(route.method), std::string(route.path), "{}", {{"Host", "evil.example"}});
    EXPECT_EQ(Error(response, 403)["code"], "host_not_allowed") << route.path;
  }
}

TEST_F(ApiServerTest, ErrorsOfTheHttpLayerHaveTheSameShape) {
  StartServer();
  for (const auto& [bytes, status] :
       {std::pair<std::string, int>{"nonsense\r\n\r\n", 400},
        {"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n",
         413}}) {
    net::TestSocket socket(server_->port());
    socket.Send(bytes);
    const std::string answer = socket.ReadAll();
    const size_t body = answer.find("\r\n\r\n");
    ASSERT_NE(body, std::string::npos);
    Error({std::stoi(answer.substr(9, 3)), {}, answer.substr(body + 4)}, status);
  }
}

TEST(ApiServer, OutsideHostWithoutAKeyIsRefused) {
  ApiOptions options;
  options.host = "0.0.0.0";
  options.port = 0;
  const auto server = ApiServer::Start(options);
  ASSERT_FALSE(server.ok());
  EXPECT_EQ(server.error().code(), core::ErrorCode::kUsage);
}

TEST(ApiServer, GoingAwayCancelsWhatRuns) {
  EchoBackend backend;
  ApiOptions options;
  options.port = 0;
  auto server = ApiServer::Start(options).value().release();
  server->Serve({"echo", kContext, 0, [] { return core::Json(); }}, backend);
  net::TestSocket socket(server->port());
  const std::string_view body = R"({"prompt": "HOLD", "stream": true})";
  socket.Send(fmt::format(
      "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{}",
      body.size(), body));
  backend.WaitSubmitted(1);
  delete server;
  backend.WaitCancelled(1);
  EXPECT_EQ(socket.ReadAll().find("[DONE]"), std::string::npos);
}

}  // namespace
}  // namespace octavo::serve
