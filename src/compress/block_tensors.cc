#include "compress/block_tensors.h"

#include <array>
#include <atomic>
#include <cmath>
#include <utility>

#include <fmt/format.h>

namespace octavo::compress {
namespace {

// -1 when all are finite.
int64_t FirstNotFinite(std::span<const float> values, core::ThreadPool& pool) {
  const auto count = static_cast<int64_t>(values.size());
  std::atomic<int64_t> first{count};
  pool.ParallelFor(count, 1 << 16, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      if (std::isfinite(values[static_cast<size_t>(i)])) continue;
      int64_t seen = first.load();
      while (i < seen && !first.compare_exchange_weak(seen, i)) {
      }
      return;
    }
  });
  return first < count ? first.load() : -1;
}

core::Result<DenseLinear> LoadLinear(const format::ModelFolder& folder, std::string module,
                                     int64_t n, int64_t k, bool bias, core::ThreadPool& pool) {
  DenseLinear out{std::move(module), n, k, {}, {}, {}};
  const std::string name = out.module + ".weight";
  OCTAVO_TRY(const tensor::TensorView view, model::GetFloatTensor(folder, name, {n, k}));
  out.stored = view.dtype;
  out.weight.resize(static_cast<size_t>(n * k));
  const size_t row_bytes = static_cast<size_t>(k) * tensor::DTypeSize(view.dtype);
  pool.ParallelFor(n, 16, [&](int64_t begin, int64_t end) {
    const auto first = static_cast<size_t>(begin);
    const auto rows = static_cast<size_t>(end - begin);
    tensor::ConvertToFloat(
        view.dtype, view.bytes.subspan(first * row_bytes, rows * row_bytes),
        std::span(out.weight)
            .subspan(first * static_cast<size_t>(k), rows * static_cast<size_t>(k)));
  });
  folder.DropPages(view);
  const int64_t bad = FirstNotFinite(out.weight, pool);
  if (bad >= 0) {
    return core::Invalid(fmt::format(
        "tensor '{}': weight [{}, {}] is {}, which no integer can hold; the checkpoint is damaged "
        "or was exported wrongly",
        name, bad / k, bad % k,
        std::isnan(out.weight[static_cast<size_t>(bad)]) ? "NaN" : "infinite"));
  }
  if (bias) {
    OCTAVO_TRY(out.bias, model::LoadFloats(folder, out.module + ".bias", n, n));
  }
  return out;
}

}  // namespace

tensor::TensorView DenseLinear::view() const {
  return {tensor::DType::kF32, {n, k}, std::as_bytes(std::span(weight))};
}

std::vector<DenseLinear*> BlockTensors::group(FusedGroup group) {
  std::vector<DenseLinear*> out;
  for (size_t i = 0; i < linears.size(); ++i) {
    if (kGroupOfModule[i] == group) out.push_back(&linears[i]);
  }
  return out;
}

core::Result<BlockTensors> LoadBlockTensors(const format::ModelFolder& folder,
                                            const model::ModelConfig& config, int64_t layer,
                                            core::ThreadPool& pool) {
  const std::string prefix = LayerPrefix(layer);
  const int64_t hidden = config.hidden_size;
  const int64_t q_size = config.heads * config.head_dim;
  const int64_t kv_size = config.kv_heads * config.head_dim;
  const int64_t inner = config.intermediate_size;
  struct Shape {
    int64_t n;
    int64_t k;
    bool bias;
  };
  const std::array<Shape, 7> shapes = {{{q_size, hidden, config.qkv_bias},
                                        {kv_size, hidden, config.qkv_bias},
                                        {kv_size, hidden, config.qkv_bias},
                                        {hidden, q_size, config.o_bias},
                                        {inner, hidden, config.mlp_bias},
                                        {inner, hidden, config.mlp_bias},
                                        {hidden, inner, config.mlp_bias}}};
  const auto norm = [&](const char* name, int64_t n) {
    return model::LoadFloats(folder, prefix + name, n, n);
  };
  BlockTensors out;
  out.layer = layer;
  const std::string input_norm = "input_layernorm.weight";
  OCTAVO_TRY(out.input_norm, norm(input_norm.c_str(), hidden));
  out.norm_dtype = folder.FindTensor(prefix + input_norm)->dtype;
  OCTAVO_TRY(out.post_norm, norm("post_attention_layernorm.weight", hidden));
  if (config.qk_norm) {
    OCTAVO_TRY(out.q_norm, norm("self_attn.q_norm.weight", config.head_dim));
    OCTAVO_TRY(out.k_norm, norm("self_attn.k_norm.weight", config.head_dim));
  }
  for (size_t i = 0; i < kBlockModules.size(); ++i) {
    OCTAVO_TRY(DenseLinear linear, LoadLinear(folder, prefix + std::string(kBlockModules[i]),
                                              shapes[i].n, shapes[i].k, shapes[i].bias, pool));
    out.linears.push_back(std::move(linear));
  }
  return out;
}

model::BlockWeights PackDense(const BlockTensors& block,
                              std::shared_ptr<const kernels::Hadamard> inner_rotation,
                              core::ThreadPool& pool) {
  model::BlockWeights out;
  out.input_norm = block.input_norm;
  out.post_norm = block.post_norm;
  out.q_norm = block.q_norm;
  out.k_norm = block.k_norm;
  const std::array<model::Linear*, 7> targets = {&out.q_proj,   &out.k_proj,    &out.v_proj,
                                                 &out.o_proj,   &out.gate_proj, &out.up_proj,
                                                 &out.down_proj};
  for (size_t i = 0; i < targets.size(); ++i) {
    const DenseLinear& linear = block.linears[i];
    *targets[i] = model::Linear::Pack(linear.module, linear.view(), linear.bias, pool);
  }
  if (inner_rotation != nullptr) out.down_proj.set_input_rotation(std::move(inner_rotation));
  return out;
}

}  // namespace octavo::compress
