// What plain rounding does to a whole folder while it reads it only once.
#include "compress/plain_rounding.h"

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "compress/quantize_fixture.h"
#include "core/file.h"
#include "core/json.h"
#include "core/temp_folder.h"
#include "format/manifest.h"
#include "format/model_folder.h"
#include "format/safetensors.h"

namespace octavo::compress {
namespace {

// What "llama" is in F16, with `tiny` tensors a thousandth of their size.
std::string HalfModel(const std::string& path, const std::vector<std::string>& tiny) {
  std::filesystem::create_directories(path);
  for (const char* name : {"config.json", "generation_config.json"})
    std::filesystem::copy(kModels + "llama/" + name, core::JoinPath(path, name));
  const auto base = format::ModelFolder::Open(kModels + "llama").value();
  std::vector<format::TensorPlan> plan;
  for (const std::string& name : base.tensor_names())
    plan.push_back({name, tensor::DType::kF16, base.FindTensor(name)->shape});
  auto writer =
      format::SafetensorsWriter::Create(core::JoinPath(path, "model.safetensors"), plan).value();
  for (const std::string& name : base.tensor_names()) {
    const tensor::TensorView& view = *base.FindTensor(name);
    std::vector<float> values(static_cast<size_t>(view.elements()));
    tensor::ConvertToFloat(view.dtype, view.bytes, values);
    if (std::ranges::find(tiny, name) != tiny.end())
      for (float& value : values) value *= 0.001F;
    std::vector<std::byte> bytes(2 * values.size());
    tensor::ConvertFromFloat(values, tensor::DType::kF16, bytes);
    EXPECT_TRUE(writer.Append(bytes).ok());
  }
  EXPECT_TRUE(writer.Commit().ok());
  return path;
}

TEST(PlainRounding, ScalesThatF16CannotHoldAreF32AndTheRestOfTheFolderIsAsItWouldBe) {
  const core::TempFolder temp;
  const std::vector<std::string> modules = {"model.layers.0.self_attn.v_proj",
                                            "model.layers.2.mlp.down_proj"};
  const std::string plain = HalfModel(temp / "plain", {});
  const std::string tiny =
      HalfModel(temp / "tiny", {modules[0] + ".weight", modules[1] + ".weight"});
  // Shards small enough that some are finished before the first such tensor is met.
  const QuantizeOptions options{.max_shard_bytes = 40000};
  ASSERT_TRUE(QuantizeTo(plain, temp / "a", options).ok());
  const auto summary = QuantizeTo(tiny, temp / "b", options);
  ASSERT_TRUE(summary.ok()) << summary.error().message();
  const auto a = format::ModelFolder::Open(temp / "a").value();
  const auto b = format::ModelFolder::Open(temp / "b").value();
  EXPECT_GT(b.shards().size(), 2U);
  EXPECT_EQ(b.tensor_names(), a.tensor_names());
  for (const std::string& name : a.tensor_names()) {
    const auto& want = *a.FindTensor(name);
    const auto& got = *b.FindTensor(name);
    const bool small = std::ranges::any_of(
        modules, [&](const std::string& module) { return name.starts_with(module + "."); });
    if (small) {
      EXPECT_TRUE(!name.ends_with("_scale") || got.dtype == tensor::DType::kF32) << name;
      continue;
    }
    EXPECT_EQ(got.dtype, want.dtype) << name;
    EXPECT_TRUE(std::ranges::equal(got.bytes, want.bytes)) << name;
  }
  // No file of the first start is left.
  const format::Manifest manifest = format::ReadManifest(temp / "b").value();
  EXPECT_TRUE(format::VerifyManifest(temp / "b", manifest).ok());
  size_t weight_files = 0;
  for (const auto& [name, hash] : manifest.files)
    weight_files += name.ends_with(".safetensors") ? 1U : 0U;
  EXPECT_EQ(weight_files, b.shards().size());
  EXPECT_EQ(manifest.details["base_digest"], format::FolderDigest(tiny).value());
}

TEST(PlainRounding, ABaseThatIsNotWhatItsManifestSaysIsRefusedAndNothingIsLeft) {
  const core::TempFolder temp;
  const std::string base = HalfModel(temp / "base", {});
  ASSERT_TRUE(format::WriteManifest(base, "base", core::Json::object()).ok());
  ASSERT_TRUE(QuantizeTo(base, temp / "good").ok());
  const std::string other = HalfModel(temp / "other", {"model.embed_tokens.weight"});
  std::filesystem::copy_file(other + "/model.safetensors", base + "/model.safetensors",
                             std::filesystem::copy_options::overwrite_existing);
  const auto summary = QuantizeTo(base, temp / "out");
  ASSERT_FALSE(summary.ok());
  EXPECT_NE(summary.error().message().find("'model.safetensors' has another SHA-256"),
            std::string::npos)
      << summary.error().message();
  EXPECT_EQ(core::ListFolder(temp.path()).value(),
            (std::vector<std::string>{"base", "good", "other"}));
}

}  // namespace
}  // namespace octavo::compress
