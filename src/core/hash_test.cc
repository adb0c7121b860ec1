#include "core/hash.h"

#include <gtest/gtest.h>

#include "core/file.h"
#include "core/temp_folder.h"

namespace octavo::core {
namespace {

// FIPS 180-4 examples of NIST's cryptographic toolkit.
TEST(Sha256, MatchesThePublishedVectors) {
  EXPECT_EQ(Sha256Hex(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(Sha256Hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(Sha256Hex("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(Sha256Hex(std::string(1'000'000, 'a')),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha256, OneChangedBitChangesTheDigest) {
  EXPECT_NE(Sha256Hex("abc"), Sha256Hex("abb"));
}

TEST(Sha256, PiecesHashLikeTheWhole) {
  Sha256 hash;
  hash.Update("a");
  hash.Update("");
  hash.Update("bc");
  EXPECT_EQ(hash.Hex(), Sha256Hex("abc"));
}

TEST(Sha256, FileHashesLikeItsBytes) {
  const TempFolder folder;
  // Longer than one read.
  const std::string content(3'000'001, 'x');
  ASSERT_TRUE(WriteFileAtomic(folder / "f", content).ok());
  EXPECT_EQ(Sha256File(folder / "f").value(), Sha256Hex(content));
  const Result<std::string> missing = Sha256File(folder / "none");
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.error().code(), ErrorCode::kNotFound);
  EXPECT_EQ(missing.error().message().rfind(folder / "none", 0), 0u);
}

}  // namespace
}  // namespace octavo::core
