#include "compress/quantize.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <vector>

#include <gtest/gtest.h>

#include "compress/quantize_fixture.h"
#include "core/file.h"
#include "core/json.h"
#include "core/temp_folder.h"
#include "format/compressed_tensors.h"
#include "format/manifest.h"
#include "format/model_folder.h"

namespace octavo::compress {
namespace {

// A copy of a test model with one f32 weight of one tensor replaced.
std::string ModelWith(const core::TempFolder& temp, const std::string& tensor, size_t index,
                      float value) {
  const std::string copy = temp / "patched";
  std::filesystem::copy(kModels + "llama", copy);
  const std::string path = core::JoinPath(copy, "model.safetensors");
  std::string bytes = core::ReadFile(path).value();
  {
    const auto file = format::SafetensorsFile::Open(path).value();
    const auto* view = file.Find(tensor);
    const auto offset = view->bytes.data() - file.file().bytes().data();
    std::memcpy(bytes.data() + offset + index * sizeof(float), &value, sizeof(value));
  }
  EXPECT_TRUE(core::WriteFileAtomic(path, bytes).ok());
  return copy;
}

class QuantizeEveryArchitecture : public testing::TestWithParam<const char*> {};

TEST_P(QuantizeEveryArchitecture, WritesCodesOfTheLinearsAndKeepsTheRest) {
  const core::TempFolder temp;
  const std::string model = kModels + GetParam();
  const auto summary = QuantizeTo(model, temp / "out");
  ASSERT_TRUE(summary.ok()) << summary.error().message();
  const auto base = format::ModelFolder::Open(model).value();
  const auto made = format::ModelFolder::Open(temp / "out").value();
  const auto quantization = format::QuantizationConfig::Parse(made.config()).value();
  EXPECT_EQ(summary.value().weights_bytes, made.weights_bytes());
  EXPECT_EQ(summary.value().base_weights_bytes, base.weights_bytes());
  int64_t quantized = 0;
  for (const std::string& name : base.tensor_names()) {
    const bool linear = name.find("_proj.weight") != std::string::npos;
    const auto view = base.GetTensor(name).value();
    if (!linear) {
      const auto kept = made.GetTensor(name);
      ASSERT_TRUE(kept.ok()) << kept.error().message();
      EXPECT_EQ(kept.value().dtype, view.dtype) << name;
      EXPECT_TRUE(std::ranges::equal(kept.value().bytes, view.bytes)) << name;
      continue;
    }
    ++quantized;
    const std::string module = name.substr(0, name.size() - 7);
    ASSERT_TRUE(quantization.SchemeOf(module).has_value()) << module;
    const auto read = format::ReadQuantizedLinear(made, module, *quantization.SchemeOf(module));
    ASSERT_TRUE(read.ok()) << read.error().message();
    const tensor::QuantizedTensor& q = read.value();
    std::vector<float> weights(static_cast<size_t>(view.elements()));
    tensor::ConvertToFloat(view.dtype, view.bytes, weights);
    for (size_t i = 0; i < weights.size(); ++i) {
      const float scale = q.scales[i / static_cast<size_t>(q.k)];
      ASSERT_EQ(q.codes[i], std::lround(std::nearbyint(weights[i] / scale))) << name << " " << i;
    }
  }
  EXPECT_EQ(summary.value().layers, quantized);
  EXPECT_FALSE(quantization.SchemeOf("lm_head").has_value());
}

INSTANTIATE_TEST_SUITE_P(All, QuantizeEveryArchitecture,
                         testing::Values("llama", "llama3_rope", "llama_tied", "mistral_window",
                                         "qwen2", "qwen3"));

TEST(Quantize, W8A8StoresBareCodesAndSaysThatActivationsAreInt8) {
  const core::TempFolder temp;
  ASSERT_TRUE(QuantizeTo(kModels + "qwen2", temp / "out", {.scheme = "w8a8"}).ok());
  const auto made = format::ModelFolder::Open(temp / "out").value();
  EXPECT_EQ(made.config()["quantization_config"]["format"], "int-quantized");
  const auto quantization = format::QuantizationConfig::Parse(made.config()).value();
  const std::string module = "model.layers.0.mlp.down_proj";
  EXPECT_EQ(tensor::SchemeName(*quantization.SchemeOf(module)), "w8a8");
  EXPECT_EQ(made.GetTensor(module + ".weight").value().dtype, tensor::DType::kI8);
  EXPECT_FALSE(quantization.SchemeOf("lm_head").has_value());
}

TEST(Quantize, GroupsGetAScaleEachAndSizesThatDoNotFitAreAnswered) {
  const core::TempFolder temp;
  for (const char* scheme : {"w8a16-g8", "w4a16-g16", "w4a8-g16"}) {
    const std::string out = temp / scheme;
    ASSERT_TRUE(QuantizeTo(kModels + "llama", out, {.scheme = scheme}).ok()) << scheme;
    const auto made = format::ModelFolder::Open(out).value();
    const auto quantization = format::QuantizationConfig::Parse(made.config()).value();
    const std::string module = "model.layers.0.mlp.up_proj";
    EXPECT_EQ(tensor::SchemeName(*quantization.SchemeOf(module)), scheme);
    const auto q = format::ReadQuantizedLinear(made, module, *quantization.SchemeOf(module));
    ASSERT_TRUE(q.ok()) << q.error().message();
    const auto base = format::ModelFolder::Open(kModels + "llama").value();
    const auto view = base.GetTensor(module + ".weight").value();
    std::vector<float> weights(static_cast<size_t>(view.elements()));
    tensor::ConvertToFloat(view.dtype, view.bytes, weights);
    for (size_t i = 0; i < weights.size(); ++i) {
      const float scale = q.value().scales[i / static_cast<size_t>(q.value().group_size)];
      ASSERT_NEAR(static_cast<float>(q.value().codes[i]) * scale, weights[i], scale * 0.51F);
    }
  }
  const auto odd = QuantizeTo(kModels + "llama", temp / "odd", {.scheme = "w4a16-g32"});
  ASSERT_FALSE(odd.ok());
  EXPECT_EQ(odd.error().code(), core::ErrorCode::kUsage);
  EXPECT_NE(odd.error().message().find("possible: 16"), std::string::npos) << odd.error().message();
}

TEST(Quantize, AnInt8HeadIsUntiedFromTheEmbeddingWhichStays) {
  for (const char* scheme : {"w8a16", "w8a8"}) {
    for (const char* model : {"llama_tied", "llama"}) {
      const core::TempFolder temp;
      const auto summary =
          QuantizeTo(kModels + model, temp / "out", {.scheme = scheme, .head_bits = 8});
      ASSERT_TRUE(summary.ok()) << summary.error().message();
      const auto base = format::ModelFolder::Open(kModels + model).value();
      const auto made = format::ModelFolder::Open(temp / "out").value();
      EXPECT_EQ(made.config()["tie_word_embeddings"], false);
      const auto quantization = format::QuantizationConfig::Parse(made.config()).value();
      ASSERT_TRUE(quantization.SchemeOf("lm_head").has_value());
      EXPECT_EQ(tensor::SchemeName(*quantization.SchemeOf("lm_head")), scheme);
      const auto head =
          format::ReadQuantizedLinear(made, "lm_head", *quantization.SchemeOf("lm_head"));
      ASSERT_TRUE(head.ok()) << head.error().message();
      const std::string embedding = "model.embed_tokens.weight";
      const std::string source = std::string(model) == "llama_tied" ? embedding : "lm_head.weight";
      const auto view = base.GetTensor(source).value();
      std::vector<float> weights(static_cast<size_t>(view.elements()));
      tensor::ConvertToFloat(view.dtype, view.bytes, weights);
      for (size_t i = 0; i < weights.size(); ++i) {
        const float scale = head.value().scales[i / static_cast<size_t>(head.value().k)];
        ASSERT_NEAR(static_cast<float>(head.value().codes[i]) * scale, weights[i], scale * 0.51F);
      }
      EXPECT_TRUE(std::ranges::equal(made.GetTensor(embedding).value().bytes,
                                     base.GetTensor(embedding).value().bytes));
      EXPECT_EQ(made.FindTensor("lm_head.weight") != nullptr, std::string(scheme) == "w8a8");
    }
  }
}

TEST(Quantize, SameInputsGiveTheSameBytesForAnyNumberOfThreads) {
  const core::TempFolder temp;
  ASSERT_TRUE(QuantizeTo(kModels + "qwen2", temp / "a", {.threads = 1}).ok());
  ASSERT_TRUE(QuantizeTo(kModels + "qwen2", temp / "b", {.threads = 3}).ok());
  EXPECT_EQ(Contents(temp / "a"), Contents(temp / "b"));
}

TEST(Quantize, ManifestTiesTheArtifactToItsBase) {
  const core::TempFolder temp;
  const auto summary = QuantizeTo(kModels + "llama", temp / "out");
  ASSERT_TRUE(summary.ok());
  const format::Manifest manifest = format::ReadManifest(temp / "out").value();
  EXPECT_EQ(manifest.kind, "artifact");
  EXPECT_EQ(manifest.details["base_digest"], format::FolderDigest(kModels + "llama").value());
  EXPECT_EQ(manifest.details["scheme"], "w8a16");
  EXPECT_EQ(manifest.details["layers"]["model.layers.0.mlp.up_proj"], "w8a16");
  EXPECT_EQ(format::ContentDigest(manifest), summary.value().digest);
  EXPECT_TRUE(format::VerifyManifest(temp / "out", manifest).ok());
  EXPECT_EQ(core::ReadFile(temp / "out/generation_config.json").value(),
            core::ReadFile(kModels + "llama/generation_config.json").value());
}

TEST(Quantize, LargeModelsAreCutIntoShardsWithAnIndex) {
  const core::TempFolder temp;
  const auto summary = QuantizeTo(kModels + "llama", temp / "out", {.max_shard_bytes = 60000});
  ASSERT_TRUE(summary.ok()) << summary.error().message();
  EXPECT_FALSE(core::FileExists(temp / "out/model.safetensors"));
  const auto index = core::ReadJsonFile(temp / "out/model.safetensors.index.json").value();
  EXPECT_EQ(index["metadata"]["total_size"], summary.value().weights_bytes);
  ASSERT_TRUE(QuantizeTo(kModels + "llama", temp / "whole").ok());
  const auto whole = format::ModelFolder::Open(temp / "whole").value();
  const auto cut = format::ModelFolder::Open(temp / "out").value();
  EXPECT_GT(cut.shards().size(), 1U);
  for (const auto& shard : cut.shards()) {
    uint64_t bytes = 0;
    for (const auto& [name, view] : shard.tensors()) bytes += view.bytes.size();
    EXPECT_TRUE(bytes <= 60000 || shard.tensors().size() <= 3);
  }
  EXPECT_EQ(cut.tensor_names(), whole.tensor_names());
  for (const std::string& name : whole.tensor_names()) {
    EXPECT_TRUE(std::ranges::equal(cut.FindTensor(name)->bytes, whole.FindTensor(name)->bytes));
  }
}

TEST(Quantize, WeightThatIsNotFiniteIsNamedAndNothingIsLeft) {
  const core::TempFolder temp;
  const std::string name = "model.layers.1.mlp.down_proj.weight";
  for (const float bad : {NAN, -INFINITY}) {
    const std::string model = ModelWith(temp, name, 5, bad);
    const auto summary = QuantizeTo(model, temp / "out");
    ASSERT_FALSE(summary.ok());
    EXPECT_NE(summary.error().message().find(name + "': weight [0, 5] is"), std::string::npos)
        << summary.error().message();
    std::filesystem::remove_all(model);
    EXPECT_TRUE(core::ListFolder(temp.path()).value().empty());
  }
}

TEST(Quantize, RefusesWhatIsQuantizedAlready) {
  const core::TempFolder temp;
  ASSERT_TRUE(QuantizeTo(kModels + "llama", temp / "once").ok());
  const auto twice = QuantizeTo(temp / "once", temp / "twice");
  ASSERT_FALSE(twice.ok());
  EXPECT_NE(twice.error().message().find("is quantized already (quant_method "
                                         "'compressed-tensors')"),
            std::string::npos)
      << twice.error().message();
  EXPECT_FALSE(core::FolderExists(temp / "twice"));
}

TEST(Quantize, RefusesSchemesByNameAndSaysWhichThereAre) {
  const core::TempFolder temp;
  for (const char* scheme : {"16", "int8"}) {
    const auto summary = QuantizeTo(kModels + "llama", temp / "out", {.scheme = scheme});
    ASSERT_FALSE(summary.ok()) << scheme;
    EXPECT_EQ(summary.error().code(), core::ErrorCode::kUsage);
    EXPECT_NE(summary.error().message().find(scheme), std::string::npos);
    EXPECT_NE(summary.error().message().find("w8a16"), std::string::npos);
  }
}

TEST(Quantize, MissingLinearIsNamed) {
  const core::TempFolder temp;
  const std::string model = temp / "deeper";
  std::filesystem::copy(kModels + "llama", model);
  core::Json config = core::ReadJsonFile(model + "/config.json").value();
  config["num_hidden_layers"] = config["num_hidden_layers"].get<int>() + 1;
  ASSERT_TRUE(core::WriteFileAtomic(model + "/config.json", core::DumpJson(config)).ok());
  const auto summary = QuantizeTo(model, temp / "out");
  ASSERT_FALSE(summary.ok());
  EXPECT_NE(summary.error().message().find("self_attn.q_proj.weight"), std::string::npos)
      << summary.error().message();
}

TEST(Quantize, StopsWhenAskedAndLeavesNothing) {
  const core::TempFolder temp;
  core::CancelToken cancel;
  cancel.Cancel();
  const auto summary =
      Quantize(kModels + "llama", temp / "out", {}, core::SilentProgress(), cancel);
  ASSERT_FALSE(summary.ok());
  EXPECT_EQ(summary.error().code(), core::ErrorCode::kInterrupted);
  EXPECT_TRUE(core::ListFolder(temp.path()).value().empty());
}

}  // namespace
}  // namespace octavo::compress
