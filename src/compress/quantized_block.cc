#include "compress/quantized_block.h"

#include <array>
#include <cmath>
#include <utility>

#include <fmt/format.h>

#include "format/compressed_tensors.h"

namespace octavo::compress {
namespace {

core::Status RoundAll(std::vector<float>& values, tensor::DType dtype, const std::string& name) {
  for (size_t i = 0; i < values.size(); ++i) {
    const float rounded = tensor::RoundToDType(values[i], dtype);
    if (!std::isfinite(rounded)) {
      return core::Unsupported(
          fmt::format("tensor '{}' [{}] becomes {}, which {} cannot hold; pull the base model with "
                      "--dtype bf16",
                      name, i, values[i], tensor::DTypeName(dtype)));
    }
    values[i] = rounded;
  }
  return {};
}

struct NamedFloats {
  std::string name;
  const std::vector<float>* values;
  tensor::Shape shape;
  tensor::DType dtype;
};

std::vector<NamedFloats> Norms(const BlockTensors& block) {
  const std::string prefix = LayerPrefix(block.layer);
  std::vector<NamedFloats> out;
  const auto add = [&](const char* name, const std::vector<float>& values) {
    if (!values.empty()) {
      out.push_back(
          {prefix + name, &values, {static_cast<int64_t>(values.size())}, block.norm_dtype});
    }
  };
  add("input_layernorm.weight", block.input_norm);
  add("self_attn.q_norm.weight", block.q_norm);
  add("self_attn.k_norm.weight", block.k_norm);
  add("post_attention_layernorm.weight", block.post_norm);
  return out;
}

core::Status AppendFloats(format::SafetensorsWriter& writer, const NamedFloats& floats) {
  std::vector<std::byte> bytes(floats.values->size() * tensor::DTypeSize(floats.dtype));
  tensor::ConvertFromFloat(*floats.values, floats.dtype, bytes);
  return writer.Append(bytes);
}

}  // namespace

core::Status RoundToStored(QuantizedBlock& block) {
  const std::string prefix = LayerPrefix(block.tensors.layer);
  const tensor::DType norm = block.tensors.norm_dtype;
  OCTAVO_RETURN_IF_ERROR(
      RoundAll(block.tensors.input_norm, norm, prefix + "input_layernorm.weight"));
  OCTAVO_RETURN_IF_ERROR(
      RoundAll(block.tensors.post_norm, norm, prefix + "post_attention_layernorm.weight"));
  for (DenseLinear& linear : block.tensors.linears) {
    OCTAVO_RETURN_IF_ERROR(RoundAll(linear.weight, linear.stored, linear.module + ".weight"));
    OCTAVO_RETURN_IF_ERROR(RoundAll(linear.bias, linear.stored, linear.module + ".bias"));
  }
  return {};
}

core::Result<model::BlockWeights> PackQuantized(
    const QuantizedBlock& block, std::shared_ptr<const kernels::Hadamard> inner_rotation,
    core::ThreadPool& pool) {
  model::BlockWeights out;
  out.input_norm = block.tensors.input_norm;
  out.post_norm = block.tensors.post_norm;
  out.q_norm = block.tensors.q_norm;
  out.k_norm = block.tensors.k_norm;
  const std::array<model::Linear*, 7> targets = {&out.q_proj,   &out.k_proj,    &out.v_proj,
                                                 &out.o_proj,   &out.gate_proj, &out.up_proj,
                                                 &out.down_proj};
  for (size_t i = 0; i < targets.size(); ++i) {
    const DenseLinear& dense = block.tensors.linears[i];
    const QuantizedLinear& quantized = block.linears[i];
    if (quantized.scheme.weight_bits == 16) {
      *targets[i] = model::Linear::Pack(dense.module, dense.view(), dense.bias, pool);
    } else {
      OCTAVO_TRY(*targets[i], model::Linear::Pack(dense.module, quantized.weight, quantized.scheme,
                                                  dense.bias, pool));
    }
  }
  if (inner_rotation != nullptr) out.down_proj.set_input_rotation(std::move(inner_rotation));
  return out;
}

core::Result<std::string> WriteBlockFile(const QuantizedBlock& block, const std::string& path) {
  const std::vector<NamedFloats> norms = Norms(block.tensors);
  std::vector<format::TensorPlan> plan;
  for (const NamedFloats& norm : norms) plan.push_back({norm.name, norm.dtype, norm.shape});
  const auto floats_of = [](const DenseLinear& linear, bool weight) -> NamedFloats {
    if (weight)
      return {linear.module + ".weight", &linear.weight, {linear.n, linear.k}, linear.stored};
    return {linear.module + ".bias", &linear.bias, {linear.n}, linear.stored};
  };
  for (size_t i = 0; i < block.linears.size(); ++i) {
    const DenseLinear& dense = block.tensors.linears[i];
    const QuantizedLinear& quantized = block.linears[i];
    if (quantized.scheme.weight_bits == 16) {
      plan.push_back({dense.module + ".weight", dense.stored, {dense.n, dense.k}});
    } else {
      const auto tensors = format::PlanQuantizedLinear(
          dense.module, dense.n, dense.k, quantized.scheme, quantized.weight.scale_dtype);
      plan.insert(plan.end(), tensors.begin(), tensors.end());
    }
    if (!dense.bias.empty()) plan.push_back({dense.module + ".bias", dense.stored, {dense.n}});
  }
  OCTAVO_TRY(format::SafetensorsWriter writer, format::SafetensorsWriter::Create(path, plan));
  for (const NamedFloats& norm : norms) OCTAVO_RETURN_IF_ERROR(AppendFloats(writer, norm));
  for (size_t i = 0; i < block.linears.size(); ++i) {
    const DenseLinear& dense = block.tensors.linears[i];
    const QuantizedLinear& quantized = block.linears[i];
    if (quantized.scheme.weight_bits == 16) {
      OCTAVO_RETURN_IF_ERROR(AppendFloats(writer, floats_of(dense, true)));
    } else {
      OCTAVO_RETURN_IF_ERROR(
          format::WriteQuantizedLinear(writer, quantized.weight, quantized.scheme));
    }
    if (!dense.bias.empty()) OCTAVO_RETURN_IF_ERROR(AppendFloats(writer, floats_of(dense, false)));
  }
  return writer.Commit();
}

}  // namespace octavo::compress
