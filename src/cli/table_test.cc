#include "cli/table.h"

#include <gtest/gtest.h>

namespace octavo::cli {
namespace {

TEST(Table, AlignsTextLeftAndNumbersRight) {
  Table table({"layer", "bytes", "kernel"});
  table.Add({"q", "7", "w8"});
  table.Add({"lm_head", "1024", "f16"});
  EXPECT_EQ(table.Render(),
            "layer    bytes  kernel\n"
            "-------  -----  ------\n"
            "q            7  w8\n"
            "lm_head   1024  f16\n");
}

TEST(Table, UnitsAreNumbersAndDatesAndDigestsAreNot) {
  Table table({"rate", "at", "digest", "ratio"});
  table.Add({"9.5 tokens/s", "2026-11-24T", "130bab", "1.5x"});
  table.Add({"12 tokens/s", "now", "1", "0.25x"});
  EXPECT_EQ(table.Render(),
            "        rate  at           digest  ratio\n"
            "------------  -----------  ------  -----\n"
            "9.5 tokens/s  2026-11-24T  130bab   1.5x\n"
            " 12 tokens/s  now          1       0.25x\n");
}

TEST(Table, CountsTerminalColumnsAndNotBytes) {
  EXPECT_EQ(DisplayWidth("Straße"), 6);
  EXPECT_EQ(DisplayWidth("日本"), 4);
  EXPECT_EQ(DisplayWidth("e\xCC\x81"), 1);  // e and a combining acute accent
  EXPECT_EQ(DisplayWidth("🙂"), 2);
}

TEST(Table, InvalidUtf8IsCountedAndDoesNotRunOver) {
  EXPECT_EQ(DisplayWidth("\xF0"), 1);
  EXPECT_EQ(DisplayWidth("a\xE6z"), 3);
}

TEST(Table, RowOfTheWrongLengthIsABug) {
  Table table({"a", "b"});
  EXPECT_DEATH(table.Add({"1"}), "cells.size");
}

}  // namespace
}  // namespace octavo::cli
