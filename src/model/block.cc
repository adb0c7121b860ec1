#include "model/block.h"

#include <string>

#include "core/clock.h"
#include "kernels/elementwise.h"
#include "model/attention.h"

namespace octavo::model {

int64_t BlockWeights::resident_bytes() const {
  const size_t floats = input_norm.size() + q_norm.size() + k_norm.size() + post_norm.size();
  auto bytes = static_cast<int64_t>(floats * sizeof(float));
  for (const Linear* linear : linears()) bytes += linear->resident_bytes();
  return bytes;
}

core::Result<BlockWeights> LoadBlock(format::WeightReader& reader,
                                     const format::QuantizationConfig& quantization,
                                     const ModelConfig& config, int64_t layer,
                                     core::ThreadPool& pool) {
  const std::string prefix = "model.layers." + std::to_string(layer) + ".";
  const int64_t hidden = config.hidden_size;
  const int64_t q_size = config.heads * config.head_dim;
  const int64_t kv_size = config.kv_heads * config.head_dim;
  const auto linear = [&](const char* name, int64_t n, int64_t k, bool bias) {
    return Linear::Load(reader, quantization, prefix + name, n, k, bias, pool);
  };
  const auto norm = [&](const char* name, int64_t n) {
    return LoadFloats(reader.folder(), prefix + name, n, n);
  };

  BlockWeights out;
  OCTAVO_TRY(out.input_norm, norm("input_layernorm.weight", hidden));
  OCTAVO_TRY(out.q_proj, linear("self_attn.q_proj", q_size, hidden, config.qkv_bias));
  OCTAVO_TRY(out.k_proj, linear("self_attn.k_proj", kv_size, hidden, config.qkv_bias));
  OCTAVO_TRY(out.v_proj, linear("self_attn.v_proj", kv_size, hidden, config.qkv_bias));
  if (config.qk_norm) {
    OCTAVO_TRY(out.q_norm, norm("self_attn.q_norm.weight", config.head_dim));
    OCTAVO_TRY(out.k_norm, norm("self_attn.k_norm.weight", config.head_dim));
  }
  OCTAVO_TRY(out.o_proj, linear("self_attn.o_proj", hidden, q_size, config.o_bias));
  OCTAVO_TRY(out.post_norm, norm("post_attention_layernorm.weight", hidden));
  OCTAVO_TRY(out.gate_proj,
             linear("mlp.gate_proj", config.intermediate_size, hidden, config.mlp_bias));
  OCTAVO_TRY(out.up_proj, linear("mlp.up_proj", config.intermediate_size, hidden, config.mlp_bias));
  OCTAVO_TRY(out.down_proj,
             linear("mlp.down_proj", hidden, config.intermediate_size, config.mlp_bias));
  if (config.down_rotation != nullptr) out.down_proj.set_input_rotation(config.down_rotation);
  return out;
}

void ForwardBlock(const ForwardContext& context, const BlockWeights& w, int64_t layer,
                  const Batch& batch, KvPool& kv, const NextProjection& next, BlockScratch& scratch,
                  float* hidden) {
  const ModelConfig& config = context.config;
  core::ThreadPool& pool = context.pool;
  const int64_t rows = batch.rows();
  const auto eps = static_cast<float>(config.rms_norm_eps);
  float* q = scratch.q.Reserve(rows * config.heads * config.head_dim);
  float* k = scratch.k.Reserve(rows * config.kv_heads * config.head_dim);
  float* v = scratch.v.Reserve(rows * config.kv_heads * config.head_dim);
  float* attention = scratch.attention.Reserve(rows * config.heads * config.head_dim);

  const Linear* const after_attention[] = {&w.o_proj};
  ExpectProject(context, rows, {after_attention});
  Project(context, layer, {hidden, rows, {w.input_norm.data(), eps}},
          {{&w.q_proj, q}, {&w.k_proj, k}, {&w.v_proj, v}}, scratch.projection);
  if (config.qk_norm) {
    kernels::RmsNorm(q, w.q_norm.data(), rows * config.heads, config.head_dim, eps, q, pool);
    kernels::RmsNorm(k, w.k_norm.data(), rows * config.kv_heads, config.head_dim, eps, k, pool);
  }
  const core::Stopwatch watch;
  Attend(config, layer, batch, q, k, v, kv, attention, pool);
  context.profile.attention_seconds += watch.Seconds();
  ExpectProjectGated(context, rows, w.gate_proj, w.up_proj, w.post_norm.data());
  Project(context, layer, {attention, rows}, {{&w.o_proj, hidden, true}}, scratch.projection);

  float* gate = scratch.gate.Reserve(rows * config.intermediate_size);
  const Linear* const after_gate[] = {&w.down_proj};
  ExpectProject(context, rows, {after_gate});
  ProjectGated(context, layer, {hidden, rows, {w.post_norm.data(), eps}}, w.gate_proj, w.up_proj,
               gate, scratch.up, scratch.projection);
  {
    const core::Stopwatch rotation;
    w.down_proj.RotateInput(gate, rows, pool);
    context.profile.linear_seconds += rotation.Seconds();
  }
  ExpectProject(context, rows, next);
  Project(context, layer, {gate, rows}, {{&w.down_proj, hidden, true}}, scratch.projection);
}

}  // namespace octavo::model
