#include "proof/kernel_report.h"

#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/file.h"
#include "core/temp_folder.h"
#include "format/compressed_tensors.h"
#include "format/model_folder.h"
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

void CallOnce(const model::Linear& linear, core::ThreadPool& pool) {
  const std::vector<float> in(static_cast<size_t>(linear.k()), 1.0F);
  std::vector<float> out(static_cast<size_t>(linear.n()));
  kernels::Activations activations;
  const model::Tap no_tap;
  const model::ModelConfig config;
  model::Profile profile;
  model::Project({config, model::Compute::kF32, pool, no_tap, profile}, 0, in.data(), 1,
                 {{&linear, out.data()}}, activations);
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

// A copy of a small model whose block layers are INT8.
void WriteInt8Copy(const std::string& from, const std::string& to) {
  const auto opened = format::ModelFolder::Open(from);
  ASSERT_TRUE(opened.ok());
  const format::ModelFolder& source = opened.value();
  const tensor::Scheme scheme{8, 0, tensor::Activations::kFloat};
  const std::string suffix = "_proj.weight";
  const auto quantized = [&](const std::string& name) {
    return name.size() > suffix.size() && name.substr(name.size() - suffix.size()) == suffix;
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
    const core::Status status =
        quantized(name) ? format::WriteQuantizedLinear(writer.value(), Quantize(view), scheme)
                        : writer.value().Append(view.bytes);
    ASSERT_TRUE(status.ok()) << status.error().message();
  }
  ASSERT_TRUE(writer.value().Commit().ok());
  core::Json config = source.config();
  config["quantization_config"] =
      format::MakeQuantizationConfig({{{"Linear"}, scheme}}, {"lm_head"});
  ASSERT_TRUE(core::WriteFileAtomic(to + "/config.json", core::DumpJson(config)).ok());
}

TEST(KernelReport, FloatModelHasNoInt8AndCountsItsCalls) {
  core::ThreadPool pool(1);
  const auto model = LoadModel(Architecture("llama"), pool);
  const core::Json before = KernelReport(*model, "");
  EXPECT_TRUE(before["artifact_digest"].is_null());
  ASSERT_EQ(before["layers"].size(), model->linears().size());
  EXPECT_TRUE(before["layers"][0]["kernel"].is_null());
  EXPECT_EQ(before["layers"][0]["calls"], 0);

  CallOnce(*model->linears()[0], pool);
  CallOnce(*model->linears()[0], pool);
  const core::Json report = KernelReport(*model, "abc");
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
    const core::Json report = KernelReport(*model, "abc");
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

}  // namespace
}  // namespace octavo::proof
