// What a model folder becomes as a GGUF file, and that pull gives the folder back.
#include "hub/export_gguf.h"

#include <functional>
#include <map>

#include <gtest/gtest.h>

#include "core/random.h"
#include "core/temp_folder.h"
#include "format/compressed_tensors.h"
#include "hub/gguf_config.h"
#include "hub/hub_fixture.h"
#include "hub/pull.h"

namespace octavo::hub {
namespace {

using core::Json;
using format::GgufFile;
using format::GgufType;
using format::ModelFolder;
using tensor::DType;
using tensor::QuantizedTensor;
using tensor::Scheme;

class ExportGgufTest : public testing::Test {
 protected:
  // A 16-bit folder with a tokenizer, pulled from a file that the test data's model makes.
  void MakeBase(const char* model, const char* architecture, DType dtype = DType::kF16) {
    const ModelFolder source = ModelFolder::Open(kModels + model).value();
    format::GgufBuilder builder = GgufOf(source, architecture);
    if (source.config()["rope_parameters"]["rope_type"] == "llama3") {
      const auto divisors = Llama3Divisors(source.config()["rope_parameters"],
                                           source.config()["rope_parameters"]["rope_theta"], 8);
      builder.F32Tensor("rope_freqs.weight", {8}, divisors.value());
    }
    ASSERT_TRUE(core::WriteFileAtomic(temp_ / "m.gguf", builder.Build()).ok());
    PullOptions options;
    options.dtype = dtype;
    const auto pulled =
        Pull(temp_ / "m.gguf", temp_ / "base", options, core::SilentProgress(), cancel_);
    ASSERT_TRUE(pulled.ok()) << pulled.error().message();
  }
  core::Result<ExportSummary> Export(const std::string& folder, const ExportOptions& options = {}) {
    return ExportGguf(folder, temp_ / "out.gguf", options, core::SilentProgress(), cancel_);
  }
  // The error of an export, which must name the folder and leave nothing behind.
  std::string ExportError(const std::string& folder, const ExportOptions& options = {}) {
    const auto exported = Export(folder, options);
    if (exported.ok()) return "exported";
    EXPECT_FALSE(core::FileExists(temp_ / "out.gguf"));
    EXPECT_EQ(exported.error().message().rfind(folder, 0), 0U) << exported.error().message();
    return exported.error().message();
  }

  // Random codes for the modules of the base that `scheme_of` quantizes, as a folder of their own;
  // all other tensors are copied.
  using Schemes = std::function<Scheme(const std::string& module)>;
  void MakeArtifact(const Schemes& scheme_of, DType scale_dtype = DType::kF16) {
    const ModelFolder base = ModelFolder::Open(temp_ / "base").value();
    std::vector<format::TensorPlan> plan;
    std::vector<format::LayerScheme> layers;
    for (const std::string& name : base.tensor_names()) {
      const tensor::TensorView& view = *base.FindTensor(name);
      const std::string module = name.substr(0, name.rfind('.'));
      const bool linear = module.ends_with("_proj") || module == "lm_head";
      if (linear) layers.push_back({module, scheme_of(module)});
      if (linear && layers.back().scheme.weight_bits < 16) {
        for (auto& part : format::PlanQuantizedLinear(module, view.shape[0], view.shape[1],
                                                      layers.back().scheme, scale_dtype))
          plan.push_back(part);
      } else {
        plan.push_back({name, view.dtype, view.shape});
      }
    }
    const std::string folder = temp_ / "artifact";
    ASSERT_TRUE(core::MakeFolders(folder).ok());
    auto writer = format::SafetensorsWriter::Create(folder + "/model.safetensors", plan).value();
    core::Random random(11);
    size_t layer = 0;
    for (const std::string& name : base.tensor_names()) {
      const tensor::TensorView& view = *base.FindTensor(name);
      const std::string module = name.substr(0, name.rfind('.'));
      const bool linear = layer < layers.size() && layers[layer].module == module;
      const Scheme scheme = linear ? layers[layer].scheme : Scheme{};
      if (linear) ++layer;
      if (scheme.weight_bits == 16) {
        ASSERT_TRUE(writer.Append(view.bytes).ok());
        continue;
      }
      QuantizedTensor weight;
      weight.n = view.shape[0];
      weight.k = view.shape[1];
      weight.bits = scheme.weight_bits;
      weight.group_size = scheme.group_size == 0 ? weight.k : scheme.group_size;
      weight.scale_dtype = scale_dtype;
      const int64_t half = weight.bits == 8 ? 128 : 8;
      for (int64_t i = 0; i < weight.n * weight.k; ++i)
        weight.codes.push_back(static_cast<int8_t>(
            static_cast<int64_t>(random.Below(static_cast<uint64_t>(2 * half))) - half));
      for (int64_t i = 0; i < weight.n * weight.groups(); ++i)
        weight.scales.push_back(tensor::RoundToDType(
            0.001F + 0.0001F * static_cast<float>(random.Below(100)), scale_dtype));
      ASSERT_TRUE(format::WriteQuantizedLinear(writer, weight, scheme).ok());
      weights_[module] = weight;
    }
    ASSERT_TRUE(writer.Commit().ok());
    Json config = base.config();
    config["quantization_config"] = format::MakeQuantizationConfig(layers);
    ASSERT_TRUE(core::WriteFileAtomic(folder + "/config.json", core::DumpJson(config)).ok());
    for (const std::string& name : format::CompanionFiles(base.path()))
      ASSERT_TRUE(core::CopyFileAtomic(base.path() + "/" + name, folder + "/" + name).ok());
  }
  static Scheme Named(const char* name) { return tensor::ParseScheme(name).value(); }
  // 176 columns are no whole blocks, so down_proj stays as it is.
  static Schemes AllBut(const char* kept, const char* scheme) {
    return [=](const std::string& module) {
      return Named(module.ends_with(kept) || module == "lm_head" ? "16" : scheme);
    };
  }

  core::TempFolder temp_;
  core::CancelToken cancel_;
  std::map<std::string, QuantizedTensor> weights_;
};

TEST_F(ExportGgufTest, PullGivesTheFolderBack) {
  const struct {
    const char* folder;
    const char* gguf;
  } models[] = {{"llama", "llama"},
                {"llama_tied", "llama"},
                {"llama3_rope", "llama"},
                {"qwen2", "qwen2"},
                {"qwen3", "qwen3"}};
  for (const auto& model : models) {
    MakeBase(model.folder, model.gguf);
    const auto exported = Export(temp_ / "base");
    ASSERT_TRUE(exported.ok()) << model.folder << ": " << exported.error().message();
    EXPECT_EQ(exported.value().sha256, core::Sha256File(temp_ / "out.gguf").value());
    EXPECT_EQ(exported.value().notes, std::vector<std::string>());
    const auto pulled =
        Pull(temp_ / "out.gguf", temp_ / "again", {}, core::SilentProgress(), cancel_);
    ASSERT_TRUE(pulled.ok()) << model.folder << ": " << pulled.error().message();
    const ModelFolder before = ModelFolder::Open(temp_ / "base").value();
    const ModelFolder after = ModelFolder::Open(temp_ / "again").value();
    EXPECT_EQ(before.config(), after.config()) << model.folder;
    EXPECT_EQ(before.tensor_names().size(), after.tensor_names().size());
    for (const std::string& name : before.tensor_names()) {
      ASSERT_NE(after.FindTensor(name), nullptr) << name;
      EXPECT_EQ(Floats(*after.FindTensor(name)), Floats(*before.FindTensor(name)))
          << model.folder << " " << name;
    }
    for (const char* file : {"tokenizer.json", "tokenizer_config.json", "generation_config.json"})
      EXPECT_EQ(core::ReadFile(before.path() + "/" + file).value(),
                core::ReadFile(after.path() + "/" + file).value())
          << model.folder << " " << file;
    // Same folder, same bytes.
    EXPECT_EQ(Export(temp_ / "base").value().sha256, exported.value().sha256);
  }
}

TEST_F(ExportGgufTest, CodesAreCopied) {
  MakeBase("llama", "llama");
  MakeArtifact([](const std::string& module) {
    if (module.ends_with("down_proj") || module == "lm_head") return Named("16");
    if (module.ends_with("o_proj")) return Named("w8a8");
    if (module.ends_with("k_proj")) return Named("w8a16-g32");
    return Named(module.find(".mlp.") != std::string::npos ? "w4a16-g32" : "w8a16");
  });
  const auto exported = Export(temp_ / "artifact");
  ASSERT_TRUE(exported.ok()) << exported.error().message();
  ASSERT_EQ(exported.value().notes.size(), 1U);
  EXPECT_NE(exported.value().notes[0].find("llama.cpp quantizes activations itself"),
            std::string::npos);
  const GgufFile file = GgufFile::Open(temp_ / "out.gguf").value();
  EXPECT_EQ(weights_.size(), 18U);
  for (const auto& [module, weight] : weights_) {
    const auto id = format::FindHfName(module + ".weight");
    const format::GgufTensor* tensor = file.FindTensor(format::GgufName(*id));
    ASSERT_NE(tensor, nullptr) << module;
    EXPECT_EQ(tensor->type, weight.bits == 8 ? GgufType::kQ8_0 : GgufType::kQ4_0);
    std::vector<float> want;
    for (int64_t i = 0; i < weight.n * weight.k; ++i)
      want.push_back(static_cast<float>(weight.codes[static_cast<size_t>(i)]) *
                     weight.scales[static_cast<size_t>(i / weight.k * weight.groups() +
                                                       i % weight.k / weight.group_size)]);
    if (id->name->rows == format::RowOrder::kQueryHeads) want = Interleave(want, 4);
    if (id->name->rows == format::RowOrder::kKeyHeads) want = Interleave(want, 2);
    std::vector<float> values(want.size());
    format::GgufDequantize(*tensor, 0, values);
    EXPECT_EQ(values, want) << module;
  }
  EXPECT_EQ(file.GetString("octavo.digest").value().size(), 64U);
  EXPECT_EQ(file.GetInt("general.quantization_version").value(), 2);
}

TEST_F(ExportGgufTest, ScalesThatF16CannotHoldAreRefusedOrRounded) {
  MakeBase("llama", "llama");
  MakeArtifact(AllBut("down_proj", "w8a16"), DType::kF32);
  const std::string error = ExportError(temp_ / "artifact");
  EXPECT_NE(error.find("gate_proj.weight_packed': scale 0 is 0.00"), std::string::npos) << error;
  EXPECT_NE(error.find("--round-scales"), std::string::npos) << error;
  const auto exported = Export(temp_ / "artifact", {.round_scales = true});
  ASSERT_TRUE(exported.ok()) << exported.error().message();
  ASSERT_EQ(exported.value().notes.size(), 1U);
  EXPECT_NE(exported.value().notes[0].find("the scales of 18 tensors were rounded"),
            std::string::npos);
}

TEST_F(ExportGgufTest, Q8OfFloatsIsAskedFor) {
  MakeBase("llama", "llama");
  const auto exported = Export(temp_ / "base", {.type = GgufType::kQ8_0});
  ASSERT_TRUE(exported.ok()) << exported.error().message();
  const GgufFile file = GgufFile::Open(temp_ / "out.gguf").value();
  EXPECT_EQ(file.FindTensor("blk.0.ffn_up.weight")->type, GgufType::kQ8_0);
  EXPECT_EQ(file.FindTensor("token_embd.weight")->type, GgufType::kQ8_0);
  EXPECT_EQ(file.FindTensor("blk.0.ffn_down.weight")->type, GgufType::kF16);
  EXPECT_EQ(file.FindTensor("output_norm.weight")->type, GgufType::kF32);
  EXPECT_EQ(file.GetInt("general.file_type").value(), 7);
  ASSERT_EQ(exported.value().notes.size(), 3U) << "down_proj of three layers";
  EXPECT_NE(exported.value().notes[0].find("rows of 176 are no whole blocks"), std::string::npos);
}

TEST_F(ExportGgufTest, RefusesByName) {
  const auto expect = [&](const std::string& part) {
    const std::string error = ExportError(temp_ / "artifact");
    EXPECT_NE(error.find(part), std::string::npos) << "got: " << error << "\nexpected: " << part;
  };
  MakeBase("llama", "llama");
  MakeArtifact(AllBut("nothing", "w8a16"));
  expect("down_proj.weight_packed': has 176 inputs in groups of 176");
  MakeArtifact(AllBut("down_proj", "w8a16-g16"));
  expect("has 64 inputs in groups of 16");
  MakeArtifact(AllBut("down_proj", "w8a16"));
  const std::string path = temp_ / "artifact/config.json";
  const Json config = core::ReadJsonFile(path).value();
  const auto with = [&](const char* pointer, const Json& value) {
    Json changed = config;
    changed[Json::json_pointer(pointer)] = value;
    ASSERT_TRUE(core::WriteFileAtomic(path, core::DumpJson(changed)).ok());
  };
  with("/quantization_config/quant_method", "octavo");
  expect("online rotation");
  with("/architectures", Json::array({"MambaForCausalLM"}));
  expect("architecture 'MambaForCausalLM'");
  with("/rope_scaling", {{"rope_type", "yarn"}, {"factor", 4}});
  expect("rope type 'yarn'");
  with("/num_hidden_layers", 4);
  expect("has no tensor 'model.layers.3.input_layernorm.weight'");
  with("/num_hidden_layers", 2);
  expect("'model.layers.2.input_layernorm.weight': has no place");
  with("/num_attention_heads", 8);
  expect("q_proj.weight_packed': has 64 rows, expected 8 heads of 16");
  with("/vocab_size", 4);
  expect("has id 6, but the model has 4 embedding rows");
  with("/model_type", "llama");
  EXPECT_EQ(ExportError(temp_ / "artifact"), "exported");
}

TEST_F(ExportGgufTest, ASlidingWindowShortensTheContext) {
  MakeBase("llama", "llama");
  Json config = core::ReadJsonFile(temp_ / "base/config.json").value();
  config["model_type"] = "mistral";
  config["sliding_window"] = 64;
  ASSERT_TRUE(core::WriteFileAtomic(temp_ / "base/config.json", core::DumpJson(config)).ok());
  ASSERT_TRUE(core::RemoveAll(temp_ / "base/octavo.json").ok());
  const auto exported = Export(temp_ / "base");
  ASSERT_TRUE(exported.ok()) << exported.error().message();
  ASSERT_EQ(exported.value().notes.size(), 1U);
  EXPECT_NE(exported.value().notes[0].find("from 256 to 64 tokens"), std::string::npos);
  EXPECT_EQ(GgufFile::Open(temp_ / "out.gguf").value().GetInt("llama.context_length").value(), 64);
}

TEST_F(ExportGgufTest, CancelLeavesNothing) {
  MakeBase("llama", "llama");
  cancel_.Cancel();
  const auto exported = Export(temp_ / "base");
  ASSERT_FALSE(exported.ok());
  EXPECT_EQ(exported.error().code(), core::ErrorCode::kInterrupted);
  EXPECT_FALSE(core::FileExists(temp_ / "out.gguf"));
}

}  // namespace
}  // namespace octavo::hub
