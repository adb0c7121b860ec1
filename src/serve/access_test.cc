#include "serve/access.h"

#include <string>

#include <gtest/gtest.h>

namespace octavo::serve {
namespace {

net::Request Call(net::Headers headers) {
  return {"GET", "/v1/models", std::move(headers), "", ""};
}

int StatusOf(const net::Request& request, std::string_view key, bool needs_key = true) {
  const Failure failure = CheckAccess(request, key, needs_key);
  return failure ? failure->status : 200;
}

TEST(Access, HostReachableFromOutsideNeedsAKey) {
  for (const char* host : {"127.0.0.1", "localhost", "LocalHost", "::1"}) {
    EXPECT_TRUE(CheckExposure(host, "").ok()) << host;
  }
  for (const char* host : {"0.0.0.0", "::", "192.168.1.7", "example.com", "127.0.0.1.example.com",
                           "localhost.example.com", ""}) {
    const core::Status status = CheckExposure(host, "");
    ASSERT_FALSE(status.ok()) << host;
    EXPECT_EQ(status.error().code(), core::ErrorCode::kUsage);
    EXPECT_TRUE(CheckExposure(host, "secret").ok()) << host;
  }
  EXPECT_FALSE(CheckExposure("127.0.0.1", "two words").ok());
  EXPECT_FALSE(CheckExposure("127.0.0.1", "secret\n").ok());
}

TEST(Access, KeysOfAnyLengthCompare) {
  EXPECT_TRUE(KeysEqual("secret", "secret"));
  for (const char* wrong : {"", "s", "secre", "secrets", "Secret", "secret "})
    EXPECT_FALSE(KeysEqual(wrong, "secret"));
}

TEST(Access, OnlyTheRightBearerTokenOpens) {
  EXPECT_EQ(StatusOf(Call({{"host", "any"}, {"authorization", "bearer secret"}}), "secret"), 200);
  EXPECT_EQ(StatusOf(Call({{"Host", "any"}}), "secret"), 401);
  for (const char* value : {"", "Bearer", "Bearer ", "Bearer wrong", "secret", "Basic secret",
                            "Bearer  secret", "Bearer secret "}) {
    EXPECT_EQ(StatusOf(Call({{"Host", "any"}, {"Authorization", value}}), "secret"), 401) << value;
  }
  EXPECT_EQ(StatusOf(Call({{"Host", "any"}}), "secret", /*needs_key=*/false), 200);
}

TEST(Access, WithoutAKeyTheHostMustBeLoopback) {
  for (const char* host : {"localhost", "localhost:8080", "127.0.0.1:1", "[::1]:8080", "[::1]"}) {
    EXPECT_EQ(StatusOf(Call({{"Host", host}}), ""), 200) << host;
  }
  for (const char* host : {"", "evil.example:8080", "127.0.0.1.evil.example", "[::2]:80", "[",
                           "localhost.evil.example"}) {
    EXPECT_EQ(StatusOf(Call({{"Host", host}}), ""), 403) << host;
  }
  EXPECT_EQ(StatusOf(Call({}), ""), 403);
}

TEST(Access, PagesOfOtherOriginsAreRefused) {
  const auto from = [](const char* origin) {
    return Call(
        {{"Host", "localhost:8080"}, {"Origin", origin}, {"Authorization", "Bearer secret"}});
  };
  EXPECT_EQ(StatusOf(from("http://localhost:8080"), ""), 200);
  EXPECT_EQ(StatusOf(from("http://localhost:8080"), "secret"), 200);
  for (const char* origin : {"http://evil.example", "null", "", "http://localhost:3000",
                             "http://localhost:8080.evil.example"}) {
    EXPECT_EQ(StatusOf(from(origin), ""), 403) << origin;
    EXPECT_EQ(StatusOf(from(origin), "secret"), 403) << origin;
  }
}

}  // namespace
}  // namespace octavo::serve
