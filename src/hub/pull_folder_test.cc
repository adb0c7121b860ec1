// Pulling a Hugging Face folder: a verified copy, or the same with its floats in another type.
#include <filesystem>

#include <gtest/gtest.h>

#include "core/temp_folder.h"
#include "format/manifest.h"
#include "hub/hub_fixture.h"
#include "hub/pull.h"

namespace octavo::hub {
namespace {

using core::Json;
using format::ModelFolder;
using tensor::DType;

class PullFolderTest : public testing::Test {
 protected:
  // A small folder with a tokenizer, made by a pull itself, then as another tool would have left
  // it.
  PullFolderTest() {
    const auto builder = GgufOf(ModelFolder::Open(kModels + "llama_tied").value(), "llama");
    Write("m.gguf", builder.Build());
    OCTAVO_CHECK(PullInto(temp_ / "m.gguf", source_).ok());
    OCTAVO_CHECK(core::RemoveAll(source_ + "/octavo.json").ok());
  }
  void Write(const std::string& name, const std::string& text) {
    OCTAVO_CHECK(core::WriteFileAtomic(temp_ / name, text).ok());
  }
  core::Result<PullSummary> PullInto(const std::string& source, const std::string& out,
                                     const PullOptions& options = {}) {
    return hub::Pull(source, out, options, core::SilentProgress(), core::CancelToken());
  }
  // Splits the weights of the source into two shards with an index.
  void Shard() {
    const ModelFolder folder = ModelFolder::Open(source_).value();
    Json map = Json::object();
    const auto& tensors = folder.shards()[0].tensors();
    for (int shard = 0; shard < 2; ++shard) {
      const std::string name = "model-" + std::to_string(shard) + ".safetensors";
      std::vector<format::TensorPlan> plan;
      std::string data;
      for (size_t i = static_cast<size_t>(shard); i < tensors.size(); i += 2) {
        plan.push_back({tensors[i].first, tensors[i].second.dtype, tensors[i].second.shape});
        data += core::AsText(tensors[i].second.bytes);
        map[tensors[i].first] = name;
      }
      auto writer = format::SafetensorsWriter::Create(source_ + "/" + name, plan).value();
      OCTAVO_CHECK(writer.Append(core::AsBytes(std::string_view(data))).ok());
      OCTAVO_CHECK(writer.Commit().ok());
    }
    OCTAVO_CHECK(core::RemoveAll(source_ + "/model.safetensors").ok());
    Write("source/model.safetensors.index.json",
          core::DumpJson({{"metadata", {{"total_size", 1}}}, {"weight_map", map}}));
  }
  std::string PullError(const PullOptions& options = {}) {
    const auto before = core::ListFolder(temp_.path()).value();
    const auto pulled = PullInto(source_, out_, options);
    if (pulled.ok()) return "pulled";
    EXPECT_EQ(core::ListFolder(temp_.path()).value(), before);
    EXPECT_EQ(pulled.error().message().find('\n'), std::string::npos);
    return pulled.error().message();
  }
  void ExpectError(const std::string& part, const PullOptions& options = {}) {
    const std::string error = PullError(options);
    EXPECT_NE(error.find(part), std::string::npos) << "got: " << error << "\nexpected: " << part;
  }

  core::TempFolder temp_;
  std::string source_ = temp_ / "source";
  std::string out_ = temp_ / "out";
};

TEST_F(PullFolderTest, CopiesEveryFileOfTheModelAndNoOther) {
  Write("source/LICENSE", "free");
  Write("source/train.py", "print()");
  Write("source/.hidden", "");
  Shard();
  const auto pulled = PullInto(source_, out_);
  ASSERT_TRUE(pulled.ok()) << pulled.error().message();
  const std::vector<std::string> names = core::ListFolder(out_).value();
  EXPECT_EQ(names, (std::vector<std::string>{"LICENSE", "config.json", "generation_config.json",
                                             "model-0.safetensors", "model-1.safetensors",
                                             "model.safetensors.index.json", "octavo.json",
                                             "tokenizer.json", "tokenizer_config.json"}));
  for (const std::string& name : names) {
    if (name == "octavo.json") continue;
    EXPECT_EQ(core::ReadFile(out_ + "/" + name).value(),
              core::ReadFile(source_ + "/" + name).value());
  }
  const format::Manifest manifest = format::ReadManifest(out_).value();
  EXPECT_EQ(manifest.kind, "base");
  EXPECT_EQ(manifest.details["source"]["format"], "folder");
  EXPECT_EQ(manifest.details["source"]["digest"], format::FolderDigest(source_).value());
}

TEST_F(PullFolderTest, ConvertsFloatsShardByShard) {
  Shard();
  const auto pulled = PullInto(source_, out_, {DType::kF16});
  ASSERT_TRUE(pulled.ok()) << pulled.error().message();
  const ModelFolder source = ModelFolder::Open(source_).value();
  const ModelFolder made = ModelFolder::Open(out_).value();
  EXPECT_EQ(made.config()["torch_dtype"], "float16");
  EXPECT_EQ(made.weights_bytes() * 2, source.weights_bytes());
  EXPECT_EQ(
      core::ReadJsonFile(out_ + "/model.safetensors.index.json").value()["metadata"]["total_size"],
      made.weights_bytes());
  for (const std::string& name : source.tensor_names()) {
    std::vector<float> expected = Floats(*source.FindTensor(name));
    for (float& value : expected) value = tensor::RoundToDType(value, DType::kF16);
    EXPECT_EQ(Floats(*made.FindTensor(name)), expected) << name;
  }
}

TEST_F(PullFolderTest, AFolderOfOctavoKeepsItsRecord) {
  ASSERT_TRUE(format::WriteManifest(source_, "artifact", {{"scheme", "w8a16"}}).ok());
  const auto pulled = PullInto(source_, out_);
  ASSERT_TRUE(pulled.ok()) << pulled.error().message();
  EXPECT_EQ(core::ReadFile(out_ + "/octavo.json").value(),
            core::ReadFile(source_ + "/octavo.json").value());
  Write("source/tokenizer_config.json", "{}");
  ASSERT_TRUE(core::RemoveAll(out_).ok());
  ExpectError("'tokenizer_config.json' has another SHA-256 than in octavo.json");
}

TEST_F(PullFolderTest, OnlyFoldersOfOctavoAreReplaced) {
  ASSERT_TRUE(PullInto(source_, out_).ok());
  EXPECT_TRUE(PullInto(source_, out_, {DType::kF16}).ok());
  ASSERT_TRUE(core::RemoveAll(out_ + "/octavo.json").ok());
  ExpectError("is not replaced");
  EXPECT_TRUE(ModelFolder::Open(out_).ok());
  const auto itself = PullInto(source_, source_ + "/");
  ASSERT_FALSE(itself.ok());
  EXPECT_EQ(itself.error().code(), core::ErrorCode::kUsage);
  EXPECT_TRUE(ModelFolder::Open(source_).ok());
}

TEST_F(PullFolderTest, RefusesByName) {
  Write("source/config.json", R"({"quantization_config":{}})");
  ExpectError("is quantized, so --dtype does not apply", {DType::kF16});
  ASSERT_TRUE(core::RemoveAll(source_ + "/tokenizer.json").ok());
  ExpectError(source_ + ": has no tokenizer.json");
  Write("source/tokenizer.json", "{\"model\"");
  ExpectError("tokenizer.json");
  const core::TempFolder other;
  ASSERT_TRUE(core::WriteFileAtomic(other / "secret", "{}").ok());
  ASSERT_TRUE(core::RemoveAll(source_ + "/config.json").ok());
  std::filesystem::create_symlink(other / "secret", source_ + "/config.json");
  ExpectError("'config.json' is a link that leads out of this folder");
}

TEST_F(PullFolderTest, TokensWithoutARowAreRefused) {
  Json tokenizer = core::ReadJsonFile(source_ + "/tokenizer.json").value();
  tokenizer["model"]["vocab"]["zzz"] = 320;
  Write("source/tokenizer.json", core::DumpJson(tokenizer));
  ExpectError("tokenizer.json");
}

TEST_F(PullFolderTest, SourcesOfOtherKindsSayWhatTheyAre) {
  const auto error = [&](const std::string& source) {
    const auto pulled = PullInto(source, out_);
    return pulled.ok() ? std::string("pulled") : pulled.error().message();
  };
  Write("a.bin", "PK\x03\x04zip");
  EXPECT_EQ(error(temp_ / "a.bin"),
            temp_ / "a.bin" +
                ": is a PyTorch pickle; expected a Hugging Face folder with "
                "safetensors, or a GGUF file");
  Write("empty", "");
  EXPECT_NE(error(temp_ / "empty").find("does not know"), std::string::npos);
  EXPECT_NE(error(source_ + "/model.safetensors").find("a lone safetensors file"),
            std::string::npos);
  EXPECT_NE(error(temp_ / "none").find("no such file or folder"), std::string::npos);
  EXPECT_NE(error("hf:a/b").find("hf:a/b: "), std::string::npos);
  EXPECT_FALSE(core::FolderExists(out_));
}

}  // namespace
}  // namespace octavo::hub
