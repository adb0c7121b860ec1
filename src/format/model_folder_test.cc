#include "format/model_folder.h"

#include <filesystem>

#include <gtest/gtest.h>

#include "core/temp_folder.h"
#include "format/confined_path.h"

namespace octavo::format {
namespace {

using tensor::DType;

const std::string kModels = OCTAVO_TESTDATA "/architectures/";

class ModelFolderTest : public testing::Test {
 protected:
  ModelFolderTest() { Write("config.json", "{}"); }

  void Write(const std::string& name, const std::string& text) {
    ASSERT_TRUE(core::WriteFileAtomic(temp_ / name, text).ok());
  }
  // A shard of one-byte tensors.
  void WriteShard(const std::string& name, const std::vector<std::string>& tensors) {
    std::vector<TensorPlan> plan;
    for (const std::string& tensor : tensors) plan.push_back({tensor, DType::kU8, {1}});
    auto writer = SafetensorsWriter::Create(temp_ / name, plan);
    ASSERT_TRUE(writer.ok());
    ASSERT_TRUE(writer.value().Append(std::vector<std::byte>(tensors.size())).ok());
    ASSERT_TRUE(writer.value().Commit().ok());
  }
  void WriteIndex(const std::string& map) {
    Write("model.safetensors.index.json", "{\"metadata\":{},\"weight_map\":" + map + "}");
  }
  std::string OpenError() const {
    const auto folder = ModelFolder::Open(temp_.path());
    return folder.ok() ? "opened" : folder.error().message();
  }
  void ExpectError(const std::string& part) const {
    const std::string error = OpenError();
    EXPECT_NE(error.find(part), std::string::npos) << "got: " << error << "\nexpected: " << part;
    EXPECT_EQ(error.find('\n'), std::string::npos);
    EXPECT_EQ(error.rfind(temp_.path(), 0), 0U) << error;
  }

  core::TempFolder temp_;
};

TEST_F(ModelFolderTest, OpensOneFile) {
  const auto folder = ModelFolder::Open(kModels + "llama");
  ASSERT_TRUE(folder.ok()) << folder.error().message();
  EXPECT_EQ(core::GetString(folder.value().config(), "model_type").value(), "llama");
  EXPECT_EQ(folder.value().tensor_names().size(), 3U * 9U + 3U);
  const auto head = folder.value().GetTensor("lm_head.weight");
  ASSERT_TRUE(head.ok());
  EXPECT_EQ(head.value().shape, (tensor::Shape{320, 64}));
  int64_t bytes = 0;
  for (const std::string& name : folder.value().tensor_names()) {
    bytes += static_cast<int64_t>(folder.value().FindTensor(name)->bytes.size());
  }
  EXPECT_EQ(folder.value().weights_bytes(), bytes);
  folder.value().DropPages(head.value());
  EXPECT_EQ(head.value().bytes.size(), 320U * 64U * 4U);
}

TEST_F(ModelFolderTest, MissingTensorNamesTheNearest) {
  const auto folder = ModelFolder::Open(kModels + "llama");
  ASSERT_TRUE(folder.ok());
  const auto missing = folder.value().GetTensor("lm_head.weights");
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.error().message(), kModels +
                                           "llama: has no tensor 'lm_head.weights'; did you "
                                           "mean 'lm_head.weight'?");
}

TEST_F(ModelFolderTest, OpensShardsByTheirIndex) {
  WriteShard("b.safetensors", {"x", "y"});
  WriteShard("a.safetensors", {"z"});
  WriteShard("not-listed.safetensors", {"x"});
  WriteIndex(R"({"x":"b.safetensors","z":"a.safetensors","y":"b.safetensors"})");
  const auto folder = ModelFolder::Open(temp_.path());
  ASSERT_TRUE(folder.ok()) << folder.error().message();
  EXPECT_EQ(folder.value().tensor_names(), (std::vector<std::string>{"z", "x", "y"}));
  EXPECT_EQ(folder.value().shards().size(), 2U);
  EXPECT_NE(folder.value().FindTensor("y"), nullptr);
}

TEST_F(ModelFolderTest, IndexAndShardsMustAgree) {
  WriteShard("a.safetensors", {"x", "y"});
  WriteShard("b.safetensors", {"x"});
  WriteIndex(R"({"x":"a.safetensors"})");
  ExpectError("holds tensor 'y', which model.safetensors.index.json does not list");
  WriteIndex(R"({"x":"b.safetensors","y":"a.safetensors"})");
  ExpectError("holds tensor 'x', which model.safetensors.index.json places in 'b.safetensors'");
  WriteIndex(R"({"x":"a.safetensors","y":"a.safetensors","q":"b.safetensors"})");
  ExpectError("holds tensor 'x', which");
  WriteIndex(R"({"x":"a.safetensors","y":"a.safetensors","q":"a.safetensors"})");
  ExpectError("places tensor 'q' in 'a.safetensors', which does not hold it");
  WriteIndex(R"({"x":"c.safetensors"})");
  ExpectError("there is no file 'c.safetensors'");
  WriteIndex(R"({"x":"a.safetensors","y":"a.safetensors"})");
  WriteShard("model.safetensors", {"x"});
  ExpectError("has both model.safetensors and model.safetensors.index.json");
}

TEST_F(ModelFolderTest, HostileIndexesAreRefused) {
  for (const char* map : {"7", "[]", "null", R"({"x":7})", R"({"x":"a.bin"})"}) {
    WriteIndex(map);
    ExpectError("'weight_map'");
  }
  WriteIndex(R"({"x":"a.safetensors","x":"a.safetensors"})");
  ExpectError("appears twice");
  Write("model.safetensors.index.json", "[");
  ExpectError("byte 1 of the JSON");
}

TEST_F(ModelFolderTest, ShardNamesStayInTheFolder) {
  const core::TempFolder other;
  ASSERT_TRUE(core::WriteFileAtomic(other / "a.safetensors", "secret").ok());
  for (const std::string& name :
       {"../" + core::BaseName(other.path()) + "/a.safetensors", other / "a.safetensors",
        std::string("sub/a.safetensors"), std::string("..\\\\a.safetensors"),
        std::string("a\\u0000.safetensors")}) {
    WriteIndex("{\"x\":\"" + name + "\"}");
    ExpectError("is not the name of a file in this folder");
  }
  std::filesystem::create_symlink(other / "a.safetensors", temp_ / "a.safetensors");
  WriteIndex(R"({"x":"a.safetensors"})");
  ExpectError("is a link that leads out of this folder");
}

TEST_F(ModelFolderTest, LinksOfAHubCacheAreFollowed) {
  const std::string snapshot = temp_ / "models--a/snapshots/1";
  const std::string blobs = temp_ / "models--a/blobs";
  ASSERT_TRUE(core::MakeFolders(snapshot).ok() && core::MakeFolders(blobs).ok());
  ASSERT_TRUE(core::WriteFileAtomic(blobs + "/abc", "{}").ok());
  std::filesystem::create_symlink("../../blobs/abc", snapshot + "/config.json");
  EXPECT_TRUE(ConfinedPath(snapshot, "config.json").ok());
  ASSERT_TRUE(core::WriteFileAtomic(temp_ / "models--a/other", "{}").ok());
  std::filesystem::create_symlink("../../other", snapshot + "/tokenizer.json");
  EXPECT_FALSE(ConfinedPath(snapshot, "tokenizer.json").ok());
  EXPECT_EQ(CompanionFiles(snapshot), std::vector<std::string>());
}

TEST_F(ModelFolderTest, WhatIsNoModelFolderSaysWhatItIs) {
  ExpectError("has neither model.safetensors nor model.safetensors.index.json");
  Write("model-q8.gguf", "");
  ExpectError("run 'octavo pull' on that file");
  Write("a-pytorch_model.bin", "");
  ExpectError("is a pickle file");
  Write("config.json", "[]");
  ExpectError("expected a JSON object");
  Write("config.json", "{\"a\":1,\"a\":2}");
  ExpectError("appears twice");
  ASSERT_TRUE(core::RemoveAll(temp_ / "config.json").ok());
  ExpectError("has no config.json");
  EXPECT_NE(ModelFolder::Open(temp_ / "none").error().message().find("no such folder"),
            std::string::npos);
  EXPECT_NE(ModelFolder::Open(temp_ / "model-q8.gguf").error().message().find("is a file"),
            std::string::npos);
}

TEST_F(ModelFolderTest, CompanionsAreTheKnownFilesBeside) {
  for (const char* name : {"tokenizer.json", "LICENSE.txt", "chat_template.jinja", "train.py",
                           "pytorch_model.bin", "generation_config.json"}) {
    Write(name, "x");
  }
  EXPECT_EQ(CompanionFiles(temp_.path()),
            (std::vector<std::string>{"LICENSE.txt", "chat_template.jinja",
                                      "generation_config.json", "tokenizer.json"}));
}

}  // namespace
}  // namespace octavo::format
