#include "format/front_to_back.h"

#include <gtest/gtest.h>

#include "core/temp_folder.h"

namespace octavo::format {
namespace {

using tensor::DType;

// Two files of three tensors each.
class FrontToBackTest : public testing::Test {
 protected:
  FrontToBackTest() {
    Write("model-1.safetensors", {"a", "b", "c"});
    Write("model-2.safetensors", {"d", "e", "f"});
    const std::string map =
        R"({"a":"model-1.safetensors","b":"model-1.safetensors","c":"model-1.safetensors",)"
        R"("d":"model-2.safetensors","e":"model-2.safetensors","f":"model-2.safetensors"})";
    EXPECT_TRUE(core::WriteFileAtomic(temp_ / "model.safetensors.index.json",
                                      "{\"metadata\":{},\"weight_map\":" + map + "}")
                    .ok());
    EXPECT_TRUE(core::WriteFileAtomic(temp_ / "config.json", "{}").ok());
  }
  void Write(const std::string& name, const std::vector<std::string>& tensors) {
    std::vector<TensorPlan> plan;
    for (const std::string& tensor : tensors) plan.push_back({tensor, DType::kU8, {kBytes}});
    auto writer = SafetensorsWriter::Create(temp_ / name, plan).value();
    for (const std::string& tensor : tensors) {
      const std::string data(kBytes, tensor[0]);
      EXPECT_TRUE(writer.Append(core::AsBytes(std::string_view(data))).ok());
    }
    EXPECT_TRUE(writer.Commit().ok());
  }
  void ExpectHashesOfTheFiles(const FileHashes& hashes) {
    ASSERT_EQ(hashes.size(), 2U);
    for (const auto& [name, hash] : hashes)
      EXPECT_EQ(hash, core::Sha256File(temp_ / name).value()) << name;
  }

  static constexpr int64_t kBytes = (int64_t{5} << 20) + 3;  // more than one piece
  core::TempFolder temp_;
};

TEST_F(FrontToBackTest, HashesWhatPassesWhateverTheOrder) {
  const auto folder = ModelFolder::Open(temp_.path()).value();
  for (const std::string order : {"abcdef", "", "c", "fa", "badbad", "aabbccddeeff"}) {
    FrontToBack reader(folder);
    for (const char name : order) {
      const tensor::TensorView view = folder.GetTensor(std::string(1, name)).value();
      reader.Approach(view);
      EXPECT_EQ(view.bytes.front(), static_cast<std::byte>(name));
      reader.Pass(view);
      EXPECT_EQ(view.bytes.back(), static_cast<std::byte>(name));  // still readable
    }
    ExpectHashesOfTheFiles(reader.Finish());
  }
}

TEST_F(FrontToBackTest, PiecesOfATensorPassOneByOne) {
  const auto folder = ModelFolder::Open(temp_.path()).value();
  FrontToBack reader(folder);
  const tensor::TensorView view = folder.GetTensor("b").value();
  for (const size_t at : {size_t{0}, size_t{1000}, size_t{4096}, size_t{5000}}) {
    const tensor::TensorView piece{view.dtype, {1000}, view.bytes.subspan(at, 1000)};
    reader.Approach(piece);
    reader.Pass(piece);
  }
  ExpectHashesOfTheFiles(reader.Finish());
}

TEST_F(FrontToBackTest, DroppedWithoutFinishItLeavesTheFolderUsable) {
  const auto folder = ModelFolder::Open(temp_.path()).value();
  const tensor::TensorView view = folder.GetTensor("e").value();
  {
    FrontToBack reader(folder);
    reader.Pass(view);
  }
  EXPECT_EQ(view.bytes.front(), std::byte{'e'});
}

}  // namespace
}  // namespace octavo::format
