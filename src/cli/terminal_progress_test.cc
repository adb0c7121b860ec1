#include "cli/terminal_progress.h"

#include <string>

#include <gtest/gtest.h>

namespace octavo::cli {
namespace {

struct Fixture {
  std::string written;
  double now = 0;
  TerminalProgress Make(int width) {
    return {[this](std::string_view text) { written += text; }, width, [this] { return now; }};
  }
};

TEST(Progress, SaysRateAndTimeLeft) {
  EXPECT_EQ(DescribeProgress(40, 100, "tokens", 4), "40 tokens (40%), 10 tokens/s, 6 s left");
  EXPECT_EQ(DescribeProgress(1500000, 3000000, "bytes", 0.5), "1.5 MB (50%), 3.0 MB/s, 1 s left");
}

TEST(Progress, SaysNothingThatItDoesNotKnow) {
  EXPECT_EQ(DescribeProgress(0, 100, "tokens", 4), "0 tokens (0%)");
  EXPECT_EQ(DescribeProgress(5, 0, "files", 2), "5 files, 2.5 files/s");
}

TEST(Progress, TimesReadLikeTimes) {
  EXPECT_EQ(HumanSeconds(0), "0 s");
  EXPECT_EQ(HumanSeconds(125), "2 min 5 s");
  EXPECT_EQ(HumanSeconds(12000), "3 h 20 min");
}

TEST(Progress, PlainOutputIsALineEveryFewSeconds) {
  Fixture f;
  TerminalProgress progress = f.Make(0);
  progress.Begin("quantize", 10, "tensors");
  progress.Advance(1);
  EXPECT_EQ(f.written, "");
  f.now = 10;
  progress.Advance(4);
  EXPECT_EQ(f.written, "quantize: 5 tensors (50%), 10 s left\n");
  progress.Advance(5);
  progress.End();
  EXPECT_EQ(f.written, "quantize: 5 tensors (50%), 10 s left\nquantize: 10 tensors in 10 s\n");
}

TEST(Progress, TerminalLineIsRedrawnAndNeverWrapsOrStays) {
  Fixture f;
  TerminalProgress progress = f.Make(30);
  progress.Begin("a step with a very long name indeed", 10, "tensors");
  EXPECT_EQ(f.written, "\r\x1b[2Ka step with a very long name ");
  f.written.clear();
  progress.Note("half way");
  EXPECT_EQ(f.written, "\r\x1b[2Khalf way\n");
}

}  // namespace
}  // namespace octavo::cli
