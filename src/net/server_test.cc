#include "net/server.h"

#include <cstdlib>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "net/client.h"
#include "net/test_socket.h"

namespace octavo::net {
namespace {

// A server with one path for each thing that a handler can do.
class ServerTest : public ::testing::Test {
 protected:
  void StartServer(ServerOptions options = {}) {
    ServerHandlers handlers;
    handlers.admit = [](const Request& head) -> std::optional<Response> {
      if (head.target == "/forbidden") return Response{403, {}, "no"};
      return std::nullopt;
    };
    handlers.handle = [this](Request&& request, const Responder& responder) {
      Handle(request, responder);
    };
    auto server = Server::Start(std::move(options), std::move(handlers));
    ASSERT_TRUE(server.ok()) << server.error().message();
    server_ = std::move(server).value();
  }

  void Handle(const Request& request, const Responder& responder) {
    if (request.target == "/echo") {
      responder.Send({200,
                      {{"X-Length", std::to_string(request.body.size())}},
                      request.method + " " + request.body});
    } else if (request.target == "/events") {
      responder.StartEvents();
      for (const char* data : {"one", "two", "[DONE]"}) responder.SendEvent(data);
      responder.FinishEvents();
    } else if (request.target == "/hang" || request.target == "/hang-events") {
      if (request.target == "/hang-events") responder.StartEvents();
      responder.OnClose([this] { closed_.set_value(); });
      held_.set_value(responder);
    } else if (request.target == "/flood") {
      responder.StartEvents();
      const std::string event(1000, 'x');
      while (responder.SendEvent(event)) {
      }
      responder.OnClose([this] { closed_.set_value(); });
    } else if (request.target == "/throw") {
      throw std::runtime_error("a bug");
    } else if (request.target == "/split") {
      responder.Send({200, {{"X-Evil", "a\r\nX-Injected: b"}}, ""});
    }  // anything else is dropped without an answer
  }

  // What the server says to these bytes before it closes the connection.
  std::string Say(std::string_view bytes) {
    TestSocket socket(server_->port());
    socket.Send(bytes);
    return socket.ReadAll();
  }
  core::Result<Response> Call(const std::string& method, const std::string& target,
                              const std::string& body = "") {
    return Client("127.0.0.1", server_->port()).Send({method, target, {}, body, ""});
  }
  std::promise<Responder> held_;
  std::promise<void> closed_;
  std::unique_ptr<Server> server_;
};

bool StartsWith(const std::string& text, std::string_view start) {
  return text.rfind(start, 0) == 0;
}

size_t Count(const std::string& text, std::string_view part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

TEST_F(ServerTest, WholeAnswersOnOneConnection) {
  StartServer();
  Client client("127.0.0.1", server_->port());
  for (const std::string& body :
       {std::string(), std::string("hello"), std::string(5'000'000, 'x')}) {
    const auto response = client.Send({"POST", "/echo", {}, body, ""});
    ASSERT_TRUE(response.ok()) << response.error().message();
    EXPECT_EQ(response.value().status, 200);
    EXPECT_EQ(*FindHeader(response.value().headers, "x-length"), std::to_string(body.size()));
    EXPECT_EQ(response.value().body, "POST " + body);
  }
  EXPECT_EQ(server_->connections(), 1);
}

TEST_F(ServerTest, EventStreamInBothVersionsOfHttp) {
  StartServer();
  std::vector<std::string> events;
  Client client("127.0.0.1", server_->port());
  for (int round = 0; round < 2; ++round) {
    const auto response = client.Stream({"GET", "/events", {}, "", ""}, [&](std::string_view data) {
      events.emplace_back(data);
      return true;
    });
    ASSERT_TRUE(response.ok()) << response.error().message();
  }
  EXPECT_EQ(events, (std::vector<std::string>{"one", "two", "[DONE]", "one", "two", "[DONE]"}));

  const std::string old = Say("GET /events HTTP/1.0\r\n\r\n");
  EXPECT_EQ(Count(old, "chunked"), 0U);
  EXPECT_NE(old.find("\r\n\r\ndata: one\n\ndata: two\n\ndata: [DONE]\n\n"), std::string::npos)
      << old;
}

TEST_F(ServerTest, HandlerThatThrowsOrForgetsGives500) {
  StartServer();
  EXPECT_EQ(Call("GET", "/throw").value().status, 500);
  EXPECT_EQ(Call("GET", "/dropped").value().status, 500);
  EXPECT_EQ(Call("GET", "/echo").value().status, 200);
}

TEST_F(ServerTest, HeaderValueWithLineBreakIsLeftOut) {
  StartServer();
  const auto response = Call("GET", "/split");
  ASSERT_TRUE(response.ok());
  EXPECT_EQ(FindHeader(response.value().headers, "X-Injected"), nullptr);
  EXPECT_EQ(FindHeader(response.value().headers, "X-Evil"), nullptr);
}

TEST_F(ServerTest, AdmissionRefusesBeforeTheBodyIsRead) {
  StartServer();
  const std::string answer =
      Say("POST /forbidden HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n");
  EXPECT_TRUE(StartsWith(answer, "HTTP/1.1 403 ")) << answer;
  // Without a body the connection goes on.
  TestSocket socket(server_->port());
  socket.Send(
      "GET /forbidden HTTP/1.1\r\nHost: x\r\n\r\nGET /echo HTTP/1.1\r\nHost: x\r\nConnection: "
      "close\r\n\r\n");
  const std::string both = socket.ReadAll();
  EXPECT_EQ(Count(both, "HTTP/1.1 403 "), 1U) << both;
  EXPECT_EQ(Count(both, "HTTP/1.1 200 "), 1U) << both;
}

TEST_F(ServerTest, PipelinedRequestsAreAnsweredInOrder) {
  StartServer();
  std::string bytes;
  for (int i = 0; i < 50; ++i) {
    const std::string body = "<" + std::to_string(i) + ">";
    bytes += "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: " + std::to_string(body.size()) +
             "\r\n\r\n" + body;
  }
  const std::string answer =
      Say(bytes + "GET /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(Count(answer, "HTTP/1.1 200 "), 51U);
  size_t at = 0;
  for (int i = 0; i < 50; ++i) {
    const size_t found = answer.find("<" + std::to_string(i) + ">");
    ASSERT_NE(found, std::string::npos);
    EXPECT_GE(found, at);
    at = found;
  }
}

TEST_F(ServerTest, ChunkedBodyWithExtensionsAndTrailer) {
  StartServer();
  const std::string answer = Say(
      "POST /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
      "3;name=value\r\nabc\r\n2\r\nde\r\n0\r\nTrailer: t\r\n\r\n");
  EXPECT_TRUE(StartsWith(answer, "HTTP/1.1 200 ")) << answer;
  EXPECT_NE(answer.find("POST abcde"), std::string::npos) << answer;
}

TEST_F(ServerTest, ExpectContinueIsAnsweredBeforeTheBody) {
  StartServer();
  TestSocket socket(server_->port());
  socket.Send(
      "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\nConnection: "
      "close\r\n\r\n");
  EXPECT_EQ(socket.ReadUntil("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  socket.Send("abc");
  EXPECT_NE(socket.ReadAll().find("POST abc"), std::string::npos);
}

TEST_F(ServerTest, HeadHasLengthButNoBody) {
  StartServer();
  const std::string answer = Say("HEAD /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  EXPECT_NE(answer.find("Content-Length: 5\r\n"), std::string::npos) << answer;
  EXPECT_EQ(answer.substr(answer.size() - 4), "\r\n\r\n");
}

TEST_F(ServerTest, MalformedRequestsAreRefused) {
  ServerOptions options;
  options.max_body_bytes = 1000;
  options.max_headers = 20;
  StartServer(options);
  std::string many_headers = "GET /echo HTTP/1.1\r\nHost: x\r\n";
  for (int i = 0; i < 25; ++i) many_headers += "A: b\r\n";
  const std::string post = "POST /echo HTTP/1.1\r\nHost: x\r\n";
  const std::string chunked = post + "Transfer-Encoding: chunked\r\n\r\n";
  using namespace std::string_literals;
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"400", "\r\n\r\n\r\n"},
      {"400", "GARBAGE\r\n\r\n"},
      {"400", "GET /\0 HTTP/1.1\r\nHost: x\r\n\r\n"s},
      {"400", "GET / HTTP/2.0\r\nHost: x\r\n\r\n"},
      {"400", "GET / HTTP/1.1\r\n\r\n"},
      {"400", "GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n"},
      {"400", "GET / HTTP/1.1\r\nHost: x\r\nBad Name: y\r\n\r\n"},
      {"400", "GET / HTTP/1.1\r\nHost: x\r\nName: a\0b\r\n\r\n"s},
      {"400", "GET / HTTP/1.1\nHost: x\n\n"},
      {"400", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"s},
      {"400", post + "Content-Length: -1\r\n\r\n"},
      {"400", post + "Content-Length: 99999999999999999999\r\n\r\n"},
      {"400", post + "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"},
      {"400", post + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
      {"501", post + "Transfer-Encoding: gzip\r\n\r\n"},
      {"400", chunked + "xyz\r\nabc\r\n0\r\n\r\n"},
      {"400", chunked + "3\r\nabcde\r\n0\r\n\r\n"},
      {"413", chunked + "fffffffffffffff\r\nabc"},
      {"400", chunked + "10000000000000000\r\nabc"},
      {"400", chunked + "1;" + std::string(70'000, 'x')},
      {"413", post + "Content-Length: 1001\r\n\r\n"},
      {"413", chunked + "3e8\r\n" + std::string(1000, 'x') + "\r\n1\r\nx\r\n0\r\n\r\n"},
      {"431", "GET /" + std::string(40'000, 'x') + " HTTP/1.1\r\nHost: x\r\n\r\n"},
      {"431", post + "Long: " + std::string(40'000, 'x') + "\r\n\r\n"},
      {"431", many_headers + "\r\n"},
  };
  for (const auto& [status, bytes] : cases) {
    const std::string answer = Say(bytes);
    EXPECT_TRUE(StartsWith(answer, "HTTP/1.1 " + status + " "))
        << bytes.substr(0, 100) << "\n-> " << answer;
    EXPECT_EQ(Count(answer, "HTTP/1.1 "), 1U) << bytes.substr(0, 100);
  }
  EXPECT_EQ(Call("GET", "/echo").value().status, 200);
}

TEST_F(ServerTest, HeadersThatComeOneByOneAreLimitedTogether) {
  ServerOptions options;
  options.max_header_bytes = 2000;
  options.max_headers = 1'000'000;
  StartServer(options);
  TestSocket socket(server_->port());
  socket.Send("GET /echo HTTP/1.1\r\nHost: x\r\n");
  // Each header is a packet of its own as far as the test can make it so; the server stops
  // listening at the limit.
  for (int i = 0; i < 100'000 && socket.Send("Name: value\r\n"); ++i) {
  }
  EXPECT_TRUE(StartsWith(socket.ReadAll(), "HTTP/1.1 431 "));
}

TEST_F(ServerTest, RequestCutAtEveryByteNeverHarms) {
  StartServer();
  const std::string request =
      "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
  for (size_t cut = 0; cut < request.size(); ++cut) {
    TestSocket socket(server_->port());
    ASSERT_TRUE(socket.Send(request.substr(0, cut)));
  }
  EXPECT_EQ(Call("GET", "/echo").value().status, 200);
}

TEST_F(ServerTest, BodiesOfAllRequestsShareOneLimit) {
  ServerOptions options;
  options.max_bodies_bytes = 10'000;
  StartServer(options);
  TestSocket first(server_->port());
  first.Send(
      "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 9000\r\nExpect: 100-continue\r\n\r\n");
  first.ReadUntil("\r\n\r\n");
  first.Send(std::string(6000, 'x'));
  const std::string second =
      "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 6000\r\n\r\n" + std::string(6000, 'y');
  // The first 6000 bytes may still be on their way when the second request comes; then the first
  // one is refused.
  TestSocket other(server_->port());
  other.Send(second);
  const std::string other_answer = other.ReadUntil("\r\n\r\n");
  first.Send(std::string(3000, 'x'));
  const std::string first_answer = first.ReadUntil("\r\n\r\n");
  EXPECT_TRUE(StartsWith(first_answer, "HTTP/1.1 200 ") ||
              StartsWith(first_answer, "HTTP/1.1 503 "));
  EXPECT_TRUE(StartsWith(other_answer, "HTTP/1.1 200 ") ||
              StartsWith(other_answer, "HTTP/1.1 503 "));
  EXPECT_TRUE(StartsWith(Say("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 10001\r\n\r\n" +
                             std::string(10'001, 'z')),
                         "HTTP/1.1 503 "));
  EXPECT_EQ(Call("POST", "/echo", std::string(9000, 'x')).value().status, 200);
}

TEST_F(ServerTest, ClientThatLeavesIsNoticedWhileTheAnswerIsPrepared) {
  for (const char* target : {"/hang", "/hang-events"}) {
    held_ = {};
    closed_ = {};
    StartServer();
    {
      TestSocket socket(server_->port());
      socket.Send("GET " + std::string(target) + " HTTP/1.1\r\nHost: x\r\n\r\n");
      const Responder responder = held_.get_future().get();
      EXPECT_FALSE(responder.closed());
      socket.Close();
      closed_.get_future().get();
      EXPECT_TRUE(responder.closed());
      EXPECT_FALSE(responder.SendEvent("too late"));
      bool at_once = false;
      responder.OnClose([&] { at_once = true; });
      EXPECT_TRUE(at_once);
    }
  }
}

TEST_F(ServerTest, ClientThatLeavesAfterPipeliningIsNoticed) {
  StartServer();
  TestSocket socket(server_->port());
  socket.Send("GET /hang HTTP/1.1\r\nHost: x\r\n\r\nGET /echo HTTP/1.1\r\nHost: x\r\n\r\n");
  const Responder responder = held_.get_future().get();
  socket.Close();
  closed_.get_future().get();
  EXPECT_TRUE(responder.closed());
}

TEST_F(ServerTest, OnCloseIsNotCalledWhenTheAnswerWasFinished) {
  StartServer();
  TestSocket socket(server_->port());
  socket.Send("GET /hang HTTP/1.1\r\nHost: x\r\n\r\n");
  const Responder responder = held_.get_future().get();
  responder.Send({200, {}, "late"});
  EXPECT_NE(socket.ReadUntil("late").find("200 OK"), std::string::npos);
  socket.Close();
  server_.reset();
  EXPECT_EQ(closed_.get_future().wait_for(std::chrono::seconds(0)), std::future_status::timeout);
}

TEST_F(ServerTest, ReaderThatStallsIsCutOff) {
  ServerOptions options;
  options.max_stream_bytes = 10'000;
  StartServer(options);
  TestSocket socket(server_->port());
  socket.Send("GET /flood HTTP/1.1\r\nHost: x\r\n\r\n");
  closed_.get_future()
      .get();  // the handler's loop ended, and the connection was closed under the reader
  const std::string all = socket.ReadAll();
  EXPECT_EQ(all.find("\r\n0\r\n\r\n"), std::string::npos) << "the stream must not look complete";
}

TEST_F(ServerTest, SlowHeadersAndSlowBodiesGet408) {
  ServerOptions options;
  options.header_seconds = 0.02;
  options.body_seconds = 0.02;
  options.idle_seconds = 0.02;
  StartServer(options);
  EXPECT_EQ(Say(""), "");  // an idle connection is closed without a word
  EXPECT_TRUE(StartsWith(Say("GET /echo HTTP/1.1\r\nHo"), "HTTP/1.1 408 "));
  EXPECT_TRUE(StartsWith(Say("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc"),
                         "HTTP/1.1 408 "));
}

TEST_F(ServerTest, QuietStreamGetsComments) {
  ServerOptions options;
  options.quiet_seconds = 0.01;
  StartServer(options);
  TestSocket socket(server_->port());
  socket.Send("GET /hang-events HTTP/1.1\r\nHost: x\r\n\r\n");
  const Responder responder = held_.get_future().get();
  EXPECT_NE(socket.ReadUntil(": keep-alive\n\n").find(": keep-alive\n\n"), std::string::npos);
  responder.FinishEvents();
  EXPECT_NE(socket.ReadUntil("0\r\n\r\n").find("0\r\n\r\n"), std::string::npos);
}

TEST_F(ServerTest, IdleConnectionsUpToTheLimitThen503) {
  ServerOptions options;
  options.max_connections = 400;
  StartServer(options);
  std::vector<TestSocket> idle;
  for (int i = 0; i < 400; ++i) {
    idle.emplace_back(server_->port());
    ASSERT_TRUE(idle.back().connected());
  }
  // Connections are accepted in order, so that an answer on the last one means that all were.
  idle.back().Send("GET /echo HTTP/1.1\r\nHost: x\r\n\r\n");
  idle.back().ReadUntil("GET ");
  EXPECT_EQ(server_->connections(), 400);
  EXPECT_TRUE(StartsWith(TestSocket(server_->port()).ReadAll(), "HTTP/1.1 503 "));
  EXPECT_TRUE(idle.front().Send("GET /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
  EXPECT_TRUE(StartsWith(idle.front().ReadAll(), "HTTP/1.1 200 "));
}

TEST_F(ServerTest, DrainRefusesNewRequestsAndWaitsForThoseThatRun) {
  StartServer();
  TestSocket running(server_->port());
  running.Send("GET /hang HTTP/1.1\r\nHost: x\r\n\r\n");
  const Responder responder = held_.get_future().get();
  EXPECT_FALSE(server_->Drain(0));  // one is running
  EXPECT_EQ(Call("GET", "/echo").value().status, 503);
  responder.Send({200, {}, "finished"});
  EXPECT_NE(running.ReadAll().find("finished"), std::string::npos);
  EXPECT_TRUE(server_->Drain(60));
}

TEST_F(ServerTest, StoppingClosesConnectionsAndAResponderMayOutliveIt) {
  StartServer();
  TestSocket socket(server_->port());
  socket.Send("GET /hang-events HTTP/1.1\r\nHost: x\r\n\r\n");
  const Responder responder = held_.get_future().get();
  server_.reset();
  closed_.get_future().get();
  EXPECT_FALSE(responder.SendEvent("nobody listens"));
  responder.FinishEvents();
  socket.ReadAll();
}

TEST_F(ServerTest, PortInUseIsAnErrorThatNamesIt) {
  StartServer();
  ServerOptions options;
  options.port = server_->port();
  const auto second = Server::Start(options, {});
  ASSERT_FALSE(second.ok());
  EXPECT_NE(second.error().message().find(std::to_string(server_->port())), std::string::npos);
  options.host = "no.such.host.invalid";
  EXPECT_FALSE(Server::Start(options, {}).ok());
}

TEST(Client, ErrorsNameTheServer) {
  Client nobody("127.0.0.1", 1);
  const auto response = nobody.Send({});
  ASSERT_FALSE(response.ok());
  EXPECT_NE(response.error().message().find("http://127.0.0.1:1"), std::string::npos);
}

TEST_F(ServerTest, ClientReconnectsAfterClose) {
  StartServer();
  Client client("127.0.0.1", server_->port());
  for (int i = 0; i < 3; ++i) {
    const auto response = client.Send({"GET", "/echo", {{"Connection", "close"}}, "", ""});
    ASSERT_TRUE(response.ok()) << response.error().message();
  }
  int seen = 0;
  ASSERT_TRUE(
      client.Stream({"GET", "/events", {}, "", ""}, [&](std::string_view) { return ++seen < 2; })
          .ok());
  EXPECT_EQ(seen, 2);
  EXPECT_TRUE(client.Send({"GET", "/echo", {}, "", ""}).ok());
}

}  // namespace
}  // namespace octavo::net
