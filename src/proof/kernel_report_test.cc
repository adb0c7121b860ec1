#include "proof/kernel_report.h"

#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/file.h"
#include "core/temp_folder.h"
#include "format/compressed_tensors.h"
#include "format/manifest.h"
#include "format/model_folder.h"
#include "kernels/dispatch.h"
#include "model/projection.h"

namespace octavo::proof {
namespace {

std::string Architecture(const std::string& name) {
  return std::string(OCTAVO_TESTDATA) + "/architectures/" + name;
}

std::unique_ptr<model::Model> LoadModel(const std::string& path, core::ThreadPool& pool) {
  const auto folder = format::ModelFolder::Open(path);
  EXPECT_TRUE(folder.ok()) << folder.error().message();
  auto loaded = model::Model::Load(folder.value(), {}, pool);
  EXPECT_TRUE(loaded.ok()) << loaded.error().message();
  return std::move(loaded).value();
}

void CallOnce(const model::Linear& linear, core::ThreadPool& pool,
              model::Compute compute = model::Compute::kF32) {
  const std::vector<float> in(static_cast<size_t>(linear.k()), 1.0F);
  std::vector<float> out(static_cast<size_t>(linear.n()));
  model::ProjectionScratch scratch;
  const model::Tap no_tap;
  const model::ModelConfig config;
  model::Profile profile;
  model::Project({config, compute, pool, no_tap, profile}, 0, {in.data(), 1},
                 {{&linear, out.data()}}, scratch);
}

tensor::QuantizedTensor Quantize(const tensor::TensorView& view) {
  tensor::QuantizedTensor out;
  out.n = view.shape[0];
  out.k = view.shape[1];
  out.group_size = out.k;
  std::vector<float> weights(static_cast<size_t>(view.elements()));
  tensor::ConvertToFloat(view.dtype, view.bytes, weights);
  out.codes.resize(weights.size());
  const auto k = static_cast<size_t>(out.k);
  for (size_t row = 0; row < static_cast<size_t>(out.n); ++row) {
    out.scales.push_back(tensor::QuantizeGroup(std::span(weights).subspan(row * k, k), 8,
                                               out.scale_dtype,
                                               std::span(out.codes).subspan(row * k, k)));
  }
  return out;
}

// A copy of a small model whose block layers are INT8, but for `kept`, which stays as it is
// although octavo.json promises INT8 for it too. Static inputs have the scale 0.02.
void WriteInt8Copy(const std::string& from, const std::string& to, const std::string& kept = "",
                   const tensor::Scheme& scheme = {8, 0, tensor::Activations::kFloat},
                   const format::OnlineRotation& rotation = {}) {
  const auto opened = format::ModelFolder::Open(from);
  ASSERT_TRUE(opened.ok());
  const format::ModelFolder& source = opened.value();
  const std::string suffix = "_proj.weight";
  const auto quantized = [&](const std::string& name) {
    return name != kept + ".weight" && name.size() > suffix.size() &&
           name.substr(name.size() - suffix.size()) == suffix;
  };
  std::vector<format::TensorPlan> plan;
  for (const std::string& name : source.tensor_names()) {
    const tensor::TensorView view = *source.FindTensor(name);
    if (!quantized(name)) {
      plan.push_back({name, view.dtype, view.shape});
      continue;
    }
    for (auto& part : format::PlanQuantizedLinear(name.substr(0, name.size() - 7), view.shape[0],
                                                  view.shape[1], scheme, tensor::DType::kF32)) {
      plan.push_back(part);
    }
  }
  auto writer = format::SafetensorsWriter::Create(to + "/model.safetensors", plan);
  ASSERT_TRUE(writer.ok()) << writer.error().message();
  for (const std::string& name : source.tensor_names()) {
    const tensor::TensorView view = *source.FindTensor(name);
    core::Status status;
    if (quantized(name)) {
      tensor::QuantizedTensor weight = Quantize(view);
      weight.input_scale = 0.02F;
      status = format::WriteQuantizedLinear(writer.value(), weight, scheme);
    } else {
      status = writer.value().Append(view.bytes);
    }
    ASSERT_TRUE(status.ok()) << status.error().message();
  }
  ASSERT_TRUE(writer.value().Commit().ok());
  core::Json config = source.config();
  std::vector<std::string> ignored = {"lm_head"};
  if (!kept.empty()) ignored.push_back(kept);
  config["quantization_config"] = format::MakeQuantizationConfig({{{"Linear"}, scheme}}, ignored);
  if (rotation.order > 0) {
    config["quantization_config"] =
        format::WithOnlineRotation(std::move(config["quantization_config"]), rotation);
  }
  ASSERT_TRUE(core::WriteFileAtomic(to + "/config.json", core::DumpJson(config)).ok());
  core::Json layers = core::Json::object();
  for (const std::string& name : source.tensor_names()) {
    if (name.ends_with(suffix))
      layers[name.substr(0, name.size() - 7)] = tensor::SchemeName(scheme);
  }
  ASSERT_TRUE(format::WriteManifest(to, "artifact", {{"layers", std::move(layers)}}).ok());
}

TEST(KernelReport, FloatModelHasNoInt8AndCountsItsCalls) {
  core::ThreadPool pool(1);
  const auto model = LoadModel(Architecture("llama"), pool);
  const core::Json before = KernelReport(*model, {});
  EXPECT_TRUE(before["artifact_digest"].is_null());
  ASSERT_EQ(before["layers"].size(), model->linears().size());
  EXPECT_TRUE(before["layers"][0]["kernel"].is_null());
  EXPECT_EQ(before["layers"][0]["calls"], 0);

  CallOnce(*model->linears()[0], pool);
  CallOnce(*model->linears()[0], pool);
  const core::Json report = KernelReport(*model, {"abc", {}});
  EXPECT_EQ(report["artifact_digest"], "abc");
  const core::Json& layer = report["layers"][0];
  EXPECT_EQ(layer["name"], model->linears()[0]->name());
  EXPECT_EQ(layer["stored"], "F32");
  EXPECT_EQ(layer["scheme"], "16");
  EXPECT_EQ(layer["calls"], 2);
  EXPECT_FALSE(layer["kernel"].get<std::string>().empty());
  EXPECT_FALSE(layer["isa"].get<std::string>().empty());
  EXPECT_GE(layer["weight_bytes"].get<int64_t>(),
            4 * model->linears()[0]->n() * model->linears()[0]->k());
  EXPECT_EQ(report["layers"][1]["calls"], 0);
  EXPECT_EQ(report["fallbacks"], core::Json::array());
  EXPECT_EQ(report["int8_fraction_of_linear_weights"], 0.0);
}

TEST(KernelReport, Int8ModelRunsItsCodes) {
  core::ThreadPool pool(1);
  for (const char* name : {"llama", "llama_tied"}) {
    const core::TempFolder folder;
    ASSERT_NO_FATAL_FAILURE(WriteInt8Copy(Architecture(name), folder.path()));
    const auto model = LoadModel(folder.path(), pool);
    const auto linears = model->linears();
    for (const model::Linear* linear : linears) CallOnce(*linear, pool);
    const Promise promise = ReadPromise(folder.path()).value();
    EXPECT_EQ(promise.schemes.size(), linears.size() - 1);
    const core::Json report = KernelReport(*model, promise);
    int64_t weights = 0;
    for (size_t i = 0; i + 1 < linears.size(); ++i) {
      const core::Json& layer = report["layers"][i];
      EXPECT_EQ(layer["stored"], "I8") << layer;
      EXPECT_EQ(layer["scheme"], "w8a16") << layer;
      EXPECT_EQ(layer["kernel"].get<std::string>().substr(0, 2), "w8") << layer;
      // Codes with their padding, and a scale for each output: far from the 4 bytes of a float.
      EXPECT_LT(layer["weight_bytes"].get<int64_t>(), 2 * linears[i]->n() * linears[i]->k())
          << layer;
      weights += linears[i]->n() * linears[i]->k();
    }
    EXPECT_EQ(report["fallbacks"], core::Json::array());
    const int64_t head = linears.back()->n() * linears.back()->k();
    const bool tied = model->config().tied_embeddings;
    EXPECT_DOUBLE_EQ(
        report["int8_fraction_of_linear_weights"].get<double>(),
        static_cast<double>(weights) / static_cast<double>(weights + (tied ? 0 : head)));
    EXPECT_EQ(tied, std::string(name) == "llama_tied");
  }
}

// The proof can be broken: a layer that octavo.json calls INT8 and that really runs in floats.
TEST(KernelReport, LayerThatFallsBackIsNamedAndNotCounted) {
  core::ThreadPool pool(1);
  const std::string kept = "model.layers.1.mlp.down_proj";
  const core::TempFolder whole;
  const core::TempFolder broken;
  ASSERT_NO_FATAL_FAILURE(WriteInt8Copy(Architecture("llama"), whole.path()));
  ASSERT_NO_FATAL_FAILURE(WriteInt8Copy(Architecture("llama"), broken.path(), kept));
  core::Json reports[2];
  int64_t weights = 0;
  int64_t kept_weights = 0;
  for (const auto& [path, report] :
       {std::pair(whole.path(), &reports[0]), std::pair(broken.path(), &reports[1])}) {
    const auto model = LoadModel(path, pool);
    weights = 0;
    for (const model::Linear* linear : model->linears()) {
      CallOnce(*linear, pool);
      weights += linear->n() * linear->k();
      if (linear->name() == kept) kept_weights = linear->n() * linear->k();
    }
    *report = KernelReport(*model, ReadPromise(path).value());
  }
  EXPECT_EQ(reports[0]["fallbacks"], core::Json::array());
  const core::Json expected = {
      {"name", kept},    {"promised", "w8a16"},       {"stored", "F32"},
      {"packed", "F32"}, {"rotation_skipped", false}, {"kernel", "w32a32"}};
  EXPECT_EQ(reports[1]["fallbacks"], core::Json::array({expected}));
  EXPECT_NEAR(reports[0]["int8_fraction_of_linear_weights"].get<double>() -
                  reports[1]["int8_fraction_of_linear_weights"].get<double>(),
              static_cast<double>(kept_weights) / static_cast<double>(weights), 1e-12);
  EXPECT_GT(kept_weights, 0);
}

// A rotation that the config asks for and a call leaves out would be garbage in floats.
TEST(KernelReport, SkippedRotationIsNamed) {
  core::ThreadPool pool(1);
  const core::TempFolder folder;
  ASSERT_NO_FATAL_FAILURE(WriteInt8Copy(Architecture("llama"), folder.path(), "",
                                        {8, 0, tensor::Activations::kDynamicPerToken}, {176, 9}));
  const auto model = LoadModel(folder.path(), pool);
  const Promise promise = ReadPromise(folder.path()).value();
  const size_t down = 6;
  const model::Linear& linear = *model->linears()[down];
  std::vector<float> x(static_cast<size_t>(linear.k()), 1.0F);
  linear.RotateInput(x.data(), 1, pool);
  CallOnce(linear, pool);
  core::Json report = KernelReport(*model, promise);
  const core::Json expected = {
      {"kind", "hadamard"}, {"inputs", 176}, {"order", 176}, {"seed", 9}, {"calls", 1}};
  EXPECT_EQ(report["layers"][down]["input_rotation"], expected);
  EXPECT_TRUE(report["layers"][down - 1]["input_rotation"].is_null());
  EXPECT_EQ(report["fallbacks"], core::Json::array());

  CallOnce(linear, pool);
  report = KernelReport(*model, promise);
  ASSERT_EQ(report["fallbacks"].size(), 1U) << report["fallbacks"];
  EXPECT_EQ(report["fallbacks"][0]["name"], linear.name());
  EXPECT_EQ(report["fallbacks"][0]["rotation_skipped"], true);
}

// A layer of static activations whose input got a scale for each row did not run as promised.
TEST(KernelReport, StaticScaleThatIsNotUsedIsNamed) {
  core::ThreadPool pool(1);
  const core::TempFolder folder;
  const tensor::Scheme scheme{8, 0, tensor::Activations::kStaticPerTensor};
  ASSERT_NO_FATAL_FAILURE(WriteInt8Copy(Architecture("llama"), folder.path(), "", scheme));
  const auto model = LoadModel(folder.path(), pool);
  const Promise promise = ReadPromise(folder.path()).value();
  for (const model::Linear* linear : model->linears()) CallOnce(*linear, pool);
  core::Json report = KernelReport(*model, promise);
  EXPECT_EQ(report["fallbacks"], core::Json::array());
  EXPECT_EQ(report["layers"][0]["scheme"], "w8a8-static");
  EXPECT_EQ(report["layers"][0]["kernel"], "w8a8-static");
  EXPECT_FLOAT_EQ(report["layers"][0]["input_scale"].get<float>(), 0.02F);

  const model::Linear& linear = *model->linears()[3];
  const std::vector<float> in(static_cast<size_t>(linear.k()), 1.0F);
  std::vector<float> out(static_cast<size_t>(linear.n()));
  kernels::Activations activations;
  activations.Assign(in.data(), 1, linear.k(), kernels::InputType::kI8, pool);
  const kernels::Product product = linear.product(out.data(), false);
  kernels::MatMul(activations, {&product, 1}, pool);
  report = KernelReport(*model, promise);
  ASSERT_EQ(report["fallbacks"].size(), 1U) << report["fallbacks"];
  EXPECT_EQ(report["fallbacks"][0]["name"], linear.name());
  EXPECT_EQ(report["fallbacks"][0]["kernel"], "w8a8");
}

// Kernel and instruction set are those of the table that was called, whichever it was.
TEST(KernelReport, NamesTheTableThatRan) {
  core::ThreadPool pool(1);
  const core::TempFolder folder;
  ASSERT_NO_FATAL_FAILURE(WriteInt8Copy(Architecture("llama"), folder.path()));
  const auto model = LoadModel(folder.path(), pool);
  const kernels::KernelTable& active = kernels::ActiveTable();
  for (const kernels::KernelTable* table : kernels::AllTables()) {
    if (!table->supported(kernels::HostCpu())) continue;
    kernels::ForceTable(*table);
    for (const model::Compute compute : {model::Compute::kF32, model::Compute::kBF16}) {
      CallOnce(*model->linears()[0], pool, compute);
      const core::Json layer = KernelReport(*model, {})["layers"][0];
      const bool has_bf16 =
          kernels::FindMatMul(kernels::InputType::kBf16, model->linears()[0]->weight()) != nullptr;
      const bool bf16_dots = compute == model::Compute::kBF16 && has_bf16;
      EXPECT_EQ(layer["isa"], table->isa);
      EXPECT_EQ(layer["kernel"], bf16_dots ? "w8abf16" : "w8a24") << table->isa;
    }
  }
  kernels::ForceTable(active);
}

TEST(KernelReport, PromiseOfAFolderMustBeReadable) {
  const core::TempFolder folder;
  ASSERT_NO_FATAL_FAILURE(WriteInt8Copy(Architecture("llama"), folder.path()));
  EXPECT_EQ(ReadPromise(folder.path()).value().digest, format::FolderDigest(folder.path()).value());
  for (const core::Json& details :
       {core::Json::object(), core::Json{{"layers", 3}}, core::Json{{"layers", {{"a", 8}}}}}) {
    ASSERT_TRUE(format::WriteManifest(folder.path(), "artifact", details).ok());
    const auto promise = ReadPromise(folder.path());
    ASSERT_FALSE(promise.ok()) << details;
    EXPECT_NE(promise.error().message().find("quantize the model again"), std::string::npos);
  }
  ASSERT_TRUE(format::WriteManifest(folder.path(), "base", core::Json::object()).ok());
  EXPECT_TRUE(ReadPromise(folder.path()).value().schemes.empty());
}

}  // namespace
}  // namespace octavo::proof
