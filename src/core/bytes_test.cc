#include "core/bytes.h"

#include <limits>

#include <gtest/gtest.h>

namespace octavo::core {
namespace {

TEST(Bytes, CheckedArithmeticFindsTheEdge) {
  constexpr uint64_t kMax = std::numeric_limits<uint64_t>::max();
  EXPECT_EQ(CheckedAdd<uint64_t>(kMax - 1, 1), kMax);
  EXPECT_EQ(CheckedAdd<uint64_t>(kMax, 1), std::nullopt);
  EXPECT_EQ(CheckedMul<uint64_t>(uint64_t{1} << 32, (uint64_t{1} << 32) - 1), kMax - 0xFFFFFFFF);
  EXPECT_EQ(CheckedMul<uint64_t>(uint64_t{1} << 32, uint64_t{1} << 32), std::nullopt);
  EXPECT_EQ(CheckedMul<int64_t>(int64_t{1} << 31, int64_t{1} << 32), std::nullopt);
}

TEST(Bytes, LoadLittleNeedsNoAlignment) {
  const unsigned char raw[] = {0xFF, 0x01, 0x02, 0x03, 0x04};
  EXPECT_EQ(LoadLittle<uint32_t>(std::as_bytes(std::span(raw)), 1), 0x04030201u);
}

TEST(Bytes, HumanBytesUsesDecimalUnits) {
  EXPECT_EQ(HumanBytes(0), "0 bytes");
  EXPECT_EQ(HumanBytes(999), "999 bytes");
  EXPECT_EQ(HumanBytes(1000), "1.0 kB");
  EXPECT_EQ(HumanBytes(256'600'000), "256.6 MB");
  EXPECT_EQ(HumanBytes(999'999), "1.0 MB");
  EXPECT_EQ(HumanBytes(std::numeric_limits<uint64_t>::max()), "18.4 EB");
}

TEST(Bytes, PrintableEscapesWhatWouldBreakALine) {
  EXPECT_EQ(Printable("plain \xC3\xA9"), "plain \xC3\xA9");
  EXPECT_EQ(Printable("a\nb\x1B[0m"), "a\\x0ab\\x1b[0m");
  EXPECT_EQ(Printable("\xFF\xC3"), "\\xff\\xc3");
  EXPECT_EQ(Printable("abcdef", 3), "abc...");
  EXPECT_EQ(Printable("abc", 3), "abc");
}

TEST(Bytes, Utf8RefusesWhatUnicodeRefuses) {
  for (const char* good :
       {"", "abc", "\xC2\x80", "\xEF\xBF\xBF", "\xF4\x8F\xBF\xBF", "\xE2\x82\xAC"}) {
    EXPECT_TRUE(IsUtf8(good)) << good;
  }
  for (const char* bad :
       {"\x80", "\xC0\x80", "\xC1\xBF", "\xE0\x9F\xBF", "\xED\xA0\x80", "\xF0\x8F\xBF\xBF",
        "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xE2\x82", "a\xFF"}) {
    EXPECT_FALSE(IsUtf8(bad)) << Printable(bad);
  }
}

}  // namespace
}  // namespace octavo::core
