#include "net/sse.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace octavo::net {
namespace {

using Events = std::vector<std::string>;

Events ParseWhole(std::string_view bytes) {
  auto events = SseParser().Feed(bytes);
  EXPECT_TRUE(events.ok());
  return events.ok() ? events.value() : Events{"failed"};
}

TEST(Sse, EventOfSeveralLinesComesBackAsItWas) {
  EXPECT_EQ(SseEvent("[DONE]"), "data: [DONE]\n\n");
  EXPECT_EQ(SseEvent("a\nb"), "data: a\ndata: b\n\n");
  EXPECT_EQ(ParseWhole(SseEvent("a\nb\r\nc") + SseEvent("") + SseEvent(" d")),
            (Events{"a\nb\nc", "", " d"}));
}

TEST(Sse, AllLineEndsCommentsAndOtherFields) {
  EXPECT_EQ(ParseWhole("data: 1\r\n\r\ndata:2\r\rdata: 3\n\n"), (Events{"1", "2", "3"}));
  EXPECT_EQ(ParseWhole(": keep-alive\n\nevent: x\nid: 7\ndata: y\nretry: 1\n\n"), Events{"y"});
  EXPECT_EQ(ParseWhole("data\n\ndatax: 1\n\ndata: cut off\n"), Events{""});
}

TEST(Sse, EveryCutOfTheStreamGivesTheSameEvents) {
  const std::string stream = ": hi\r\ndata: {\"a\":1}\r\n\r\ndata: x\ndata: y\n\ndata: [DONE]\r\r";
  const Events whole = ParseWhole(stream);
  ASSERT_EQ(whole.size(), 3U);
  for (size_t cut = 0; cut <= stream.size(); ++cut) {
    SseParser parser;
    Events events = parser.Feed(std::string_view(stream).substr(0, cut)).value();
    const Events rest = parser.Feed(std::string_view(stream).substr(cut)).value();
    events.insert(events.end(), rest.begin(), rest.end());
    EXPECT_EQ(events, whole) << "cut at " << cut;
  }
}

TEST(Sse, EventWithoutEndIsAnError) {
  SseParser parser(100);
  EXPECT_TRUE(parser.Feed("data: " + std::string(90, 'x')).ok());
  EXPECT_FALSE(parser.Feed("0123456789").ok());
  SseParser lines(100);
  std::string many;
  for (int i = 0; i < 100; ++i) many += "data: x\n";
  EXPECT_FALSE(lines.Feed(many).ok());
}

}  // namespace
}  // namespace octavo::net
