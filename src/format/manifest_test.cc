#include "format/manifest.h"

#include <gtest/gtest.h>

#include "core/hash.h"
#include "core/temp_folder.h"

namespace octavo::format {
namespace {

using core::Json;

class ManifestTest : public testing::Test {
 protected:
  ManifestTest() {
    Write("b.txt", "two");
    Write("a.txt", "one");
  }
  void Write(const std::string& name, const std::string& text) {
    ASSERT_TRUE(core::WriteFileAtomic(temp_ / name, text).ok());
  }
  Manifest Made() const { return WriteManifest(temp_.path(), "base", {{"seed", 7}}).value(); }
  std::string VerifyError() const {
    const core::Status status = VerifyManifest(temp_.path(), ReadManifest(temp_.path()).value());
    return status.ok() ? "verified" : status.error().message();
  }

  core::TempFolder temp_;
};

TEST_F(ManifestTest, ReadsWhatItWrote) {
  const Manifest made = Made();
  const auto read = ReadManifest(temp_.path());
  ASSERT_TRUE(read.ok()) << read.error().message();
  EXPECT_EQ(read.value().kind, "base");
  EXPECT_EQ(read.value().details, (Json{{"seed", 7}}));
  EXPECT_EQ(read.value().files, made.files);
  EXPECT_EQ(made.files.at("a.txt"), core::Sha256Hex("one"));
  EXPECT_EQ(VerifyError(), "verified");
}

TEST_F(ManifestTest, SameFolderGivesSameBytes) {
  Made();
  const std::string first = core::ReadFile(temp_ / kManifestName).value();
  Made();
  EXPECT_EQ(core::ReadFile(temp_ / kManifestName).value(), first);
}

TEST_F(ManifestTest, KnownHashesAreTakenForFilesThatAreThere) {
  const FileHashes right = {{"a.txt", core::Sha256Hex("one")}, {"none.txt", core::Sha256Hex("")}};
  EXPECT_EQ(FolderDigest(temp_.path(), right).value(), FolderDigest(temp_.path()).value());
  const Manifest made = WriteManifest(temp_.path(), "base", {{"seed", 7}}, right).value();
  EXPECT_EQ(made.files, Made().files);
  EXPECT_TRUE(VerifyManifest(temp_.path(), made, right).ok());
  const FileHashes wrong = {{"a.txt", core::Sha256Hex("two")}};
  EXPECT_FALSE(VerifyManifest(temp_.path(), made, wrong).ok());
  EXPECT_FALSE(FolderDigest(temp_.path(), wrong).ok());
}

TEST_F(ManifestTest, DigestNamesTheContent) {
  const std::string bare = FolderDigest(temp_.path()).value();
  const Manifest made = Made();
  EXPECT_EQ(ContentDigest(made), bare);
  EXPECT_EQ(FolderDigest(temp_.path()).value(), bare);
  // Hidden files and folders are no part of a model.
  Write(".cache", "x");
  ASSERT_TRUE(core::MakeFolders(temp_ / "original").ok());
  EXPECT_EQ(FolderDigest(temp_.path()).value(), bare);
  Manifest renamed = made;
  renamed.files["c.txt"] = made.files.at("b.txt");
  renamed.files.erase("b.txt");
  EXPECT_NE(ContentDigest(renamed), bare);
}

TEST_F(ManifestTest, EveryChangeIsFoundByName) {
  Made();
  Write("a.txt", "One");
  EXPECT_NE(VerifyError().find("'a.txt' has another SHA-256 than in octavo.json"),
            std::string::npos);
  EXPECT_FALSE(FolderDigest(temp_.path()).ok());
  Write("a.txt", "one");
  Write("c.txt", "three");
  EXPECT_NE(VerifyError().find("'c.txt' is not listed in octavo.json"), std::string::npos);
  ASSERT_TRUE(core::RemoveAll(temp_ / "c.txt").ok());
  ASSERT_TRUE(core::RemoveAll(temp_ / "b.txt").ok());
  EXPECT_NE(VerifyError().find("'b.txt' is missing but listed in octavo.json"), std::string::npos);
}

TEST_F(ManifestTest, HostileManifestsAreRefused) {
  Made();
  const std::string good = core::ReadFile(temp_ / kManifestName).value();
  const auto error = [&](const std::string& pointer, const Json& value) {
    Json json = core::ParseJson(good).value();
    json[Json::json_pointer(pointer)] = value;
    Write(kManifestName, core::DumpJson(json));
    const auto read = ReadManifest(temp_.path());
    return read.ok() ? std::string("read") : read.error().message();
  };
  const std::string hash(64, 'a');
  EXPECT_EQ(error("/files/c.txt", hash), "read");
  EXPECT_NE(error("/schema", 2).find("schema 2"), std::string::npos);
  EXPECT_NE(error("/kind", "other").find("'kind' is 'other'"), std::string::npos);
  EXPECT_NE(error("/details", 7).find("'details'"), std::string::npos);
  EXPECT_NE(error("/files", 7).find("'files'"), std::string::npos);
  EXPECT_NE(error("/files/..~1c.txt", hash).find("'../c.txt'"), std::string::npos);
  EXPECT_NE(error("/files/~1etc~1passwd", hash).find("'/etc/passwd'"), std::string::npos);
  EXPECT_NE(error("/files/c.txt", std::string(64, 'A')).find("'c.txt'"), std::string::npos);
  EXPECT_NE(error("/files/c.txt", 7).find("'c.txt'"), std::string::npos);
}

TEST_F(ManifestTest, EveryTruncationIsAnError) {
  Made();
  const std::string good = core::ReadFile(temp_ / kManifestName).value();
  for (size_t length = 0; length + 1 < good.size(); ++length) {
    std::string cut = good.substr(0, length);
    ASSERT_TRUE(core::WriteFileAtomic(temp_ / kManifestName, cut).ok());
    EXPECT_FALSE(ReadManifest(temp_.path()).ok()) << length;
  }
}

TEST_F(ManifestTest, OnlyFoldersOfOctavoAreReplaced) {
  const auto refused = CreateOutputFolder(temp_.path());
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code(), core::ErrorCode::kUsage);
  EXPECT_NE(refused.error().message().find("is not replaced"), std::string::npos);
  EXPECT_TRUE(CreateOutputFolder(temp_ / "new").ok());
  ASSERT_TRUE(core::MakeFolders(temp_ / "empty").ok());
  EXPECT_TRUE(CreateOutputFolder(temp_ / "empty").ok());
  Made();
  EXPECT_TRUE(CreateOutputFolder(temp_.path()).ok());
}

}  // namespace
}  // namespace octavo::format
