// Copies of a fixture model with some of its linear layers changed, for tests.
#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "core/file.h"
#include "format/compressed_tensors.h"
#include "format/model_folder.h"
#include "format/safetensors.h"
#include "tensor/quant_spec.h"

namespace octavo::engine {

// weight: [n, k], row by row.
inline tensor::QuantizedTensor QuantizeRows(const std::vector<float>& weight, int64_t n,
                                            int64_t k) {
  tensor::QuantizedTensor out;
  out.n = n;
  out.k = k;
  out.group_size = k;
  out.codes.resize(weight.size());
  for (size_t row = 0; row < static_cast<size_t>(n); ++row) {
    const size_t at = row * static_cast<size_t>(k);
    out.scales.push_back(tensor::QuantizeGroup(
        std::span(weight).subspan(at, static_cast<size_t>(k)), 8, out.scale_dtype,
        std::span(out.codes).subspan(at, static_cast<size_t>(k))));
  }
  return out;
}

struct LayerChange {
  tensor::Scheme scheme = {};  // weight_bits 16: F32
  float input_scale = 0;
};

// Writes the model at `from` to `to`. change(module, weight, n, k) may change a linear layer's
// weights and says how it is stored; config.json gets one group for each scheme and its modules.
// finish(quantization_config) has the last word on that object; null leaves it out.
using ChangeLayer =
    std::function<LayerChange(const std::string&, std::vector<float>&, int64_t, int64_t)>;
inline core::Status WriteChangedCopy(const std::string& from, const std::string& to,
                                     const ChangeLayer& change,
                                     const std::function<core::Json(core::Json)>& finish) {
  OCTAVO_TRY(const format::ModelFolder source, format::ModelFolder::Open(from));
  const std::string suffix = "_proj.weight";
  std::map<std::string, std::vector<float>> weights;
  std::map<std::string, LayerChange> changes;
  std::vector<format::TensorPlan> plan;
  std::vector<format::SchemeGroup> groups;
  std::vector<std::string> ignored = {"lm_head"};
  for (const std::string& name : source.tensor_names()) {
    const tensor::TensorView view = *source.FindTensor(name);
    if (!name.ends_with(suffix)) {
      plan.push_back({name, view.dtype, view.shape});
      continue;
    }
    const std::string module = name.substr(0, name.size() - 7);
    std::vector<float>& weight = weights[name];
    weight.resize(static_cast<size_t>(view.elements()));
    tensor::ConvertToFloat(view.dtype, view.bytes, weight);
    const LayerChange& layer = changes[name] = change(module, weight, view.shape[0], view.shape[1]);
    if (layer.scheme.weight_bits == 16) {
      plan.push_back({name, tensor::DType::kF32, view.shape});
      ignored.push_back(module);
      continue;
    }
    for (auto& part : format::PlanQuantizedLinear(module, view.shape[0], view.shape[1],
                                                  layer.scheme, tensor::DType::kF32)) {
      plan.push_back(part);
    }
    auto group = std::find_if(groups.begin(), groups.end(), [&](const format::SchemeGroup& g) {
      return g.scheme == layer.scheme;
    });
    if (group == groups.end()) group = groups.insert(groups.end(), {{}, layer.scheme});
    group->targets.push_back(module);
  }
  OCTAVO_TRY(auto writer, format::SafetensorsWriter::Create(to + "/model.safetensors", plan));
  for (const std::string& name : source.tensor_names()) {
    const tensor::TensorView view = *source.FindTensor(name);
    core::Status status;
    if (!name.ends_with(suffix)) {
      status = writer.Append(view.bytes);
    } else if (changes[name].scheme.weight_bits == 16) {
      status = writer.Append(std::as_bytes(std::span(weights[name])));
    } else {
      auto codes = QuantizeRows(weights[name], view.shape[0], view.shape[1]);
      if (changes[name].input_scale > 0) codes.input_scale = changes[name].input_scale;
      status = format::WriteQuantizedLinear(writer, codes, changes[name].scheme);
    }
    OCTAVO_RETURN_IF_ERROR(status);
  }
  OCTAVO_RETURN_IF_ERROR(writer.Commit());
  core::Json config = source.config();
  core::Json quantization = finish(
      groups.empty() ? core::Json::object() : format::MakeQuantizationConfig(groups, ignored));
  if (!quantization.is_null()) config["quantization_config"] = std::move(quantization);
  return core::WriteFileAtomic(to + "/config.json", core::DumpJson(config));
}

}  // namespace octavo::engine
