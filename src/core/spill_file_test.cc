#include "core/spill_file.h"

#include <vector>

#include <gtest/gtest.h>

#include "core/file.h"
#include "core/temp_folder.h"

namespace octavo::core {
namespace {

TEST(SpillFile, GivesBackWhatWasWrittenAnywhere) {
  const TempFolder folder;
  auto file = SpillFile::Create(folder.path(), 1 << 20);
  ASSERT_TRUE(file.ok()) << file.error().message();
  const std::vector<std::byte> bytes(1000, std::byte{7});
  ASSERT_TRUE(file.value().Write(5000, bytes).ok());
  std::vector<std::byte> read(1002);
  ASSERT_TRUE(file.value().Read(4999, read).ok());
  EXPECT_EQ(read.front(), std::byte{0});
  EXPECT_EQ(read[1], std::byte{7});
  EXPECT_EQ(read[1000], std::byte{7});
  EXPECT_EQ(read.back(), std::byte{0});
}

TEST(SpillFile, HasNoName) {
  const TempFolder folder;
  const auto file = SpillFile::Create(folder.path(), 100);
  ASSERT_TRUE(file.ok());
  EXPECT_TRUE(ListFolder(folder.path()).value().empty());
}

TEST(SpillFile, ReadingBehindItsEndIsAnError) {
  const TempFolder folder;
  const auto file = SpillFile::Create(folder.path(), 100);
  ASSERT_TRUE(file.ok());
  std::vector<std::byte> read(10);
  EXPECT_FALSE(file.value().Read(95, read).ok());
}

TEST(SpillFile, AMissingFolderIsNamed) {
  const auto file = SpillFile::Create("/nowhere/at/all", 100);
  ASSERT_FALSE(file.ok());
  EXPECT_NE(file.error().message().find("/nowhere/at/all"), std::string::npos);
}

}  // namespace
}  // namespace octavo::core
