#include "format/weight_reader.h"

#include <algorithm>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/random.h"
#include "core/temp_folder.h"

namespace octavo::format {
namespace {

constexpr int64_t kRows = 1500;
constexpr int64_t kColumns = 1001;  // of one byte, so that nothing begins at a block of the disk

class WeightReaderTest : public ::testing::Test {
 protected:
  WeightReaderTest() {
    core::Random random(3);
    for (auto* bytes : {&large_, &small_}) {
      bytes->resize(static_cast<size_t>((bytes == &large_ ? kRows : 3) * kColumns));
      for (std::byte& byte : *bytes) byte = static_cast<std::byte>(random.Below(256));
    }
    auto writer = SafetensorsWriter::Create(temp_ / "model.safetensors",
                                            {{"small", tensor::DType::kI8, {3, kColumns}},
                                             {"large", tensor::DType::kI8, {kRows, kColumns}},
                                             {"again", tensor::DType::kI8, {3, kColumns}}})
                      .value();
    EXPECT_TRUE(writer.Append(small_).ok());
    EXPECT_TRUE(writer.Append(large_).ok());
    EXPECT_TRUE(writer.Append(small_).ok());
    EXPECT_TRUE(writer.Commit().ok());
    EXPECT_TRUE(core::WriteFileAtomic(temp_ / "config.json", "{}").ok());
  }

  static std::vector<std::byte> ReadAll(WeightReader& reader, const std::string& name,
                                        size_t unit) {
    const auto view = reader.folder().GetTensor(name).value();
    EXPECT_TRUE(reader.Begin(view, unit).ok());
    std::vector<std::byte> all;
    while (all.size() < view.bytes.size()) {
      const core::ByteSpan piece = reader.Next().value();
      EXPECT_FALSE(piece.empty());
      if (piece.empty()) break;
      all.insert(all.end(), piece.begin(), piece.end());
      EXPECT_TRUE(all.size() == view.bytes.size() || piece.size() % unit == 0);
    }
    EXPECT_TRUE(reader.Next().value().empty());
    reader.End();
    return all;
  }

  core::TempFolder temp_;
  std::vector<std::byte> large_;
  std::vector<std::byte> small_;
};

TEST_F(WeightReaderTest, BothWaysGiveTheSameBytes) {
  const auto folder = ModelFolder::Open(temp_.path()).value();
  for (const auto way : {WeightReader::Way::kMapped, WeightReader::Way::kDirect}) {
    WeightReader reader(folder, way);
    for (const size_t unit : {size_t{64 * kColumns}, size_t{kColumns}, size_t{64} << 20}) {
      EXPECT_EQ(ReadAll(reader, "small", unit), small_);
      EXPECT_EQ(ReadAll(reader, "large", unit), large_);
      EXPECT_EQ(ReadAll(reader, "again", unit), small_);
    }
  }
}

TEST_F(WeightReaderTest, ASmallFolderIsWorthItsPlaceInTheCache) {
  const auto folder = ModelFolder::Open(temp_.path()).value();
  EXPECT_EQ(WeightReader::WayToKeep(folder), WeightReader::Way::kMapped);
}

}  // namespace
}  // namespace octavo::format
