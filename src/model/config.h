// What config.json says about a decoder-only transformer, checked and in one spelling, whatever its
// architecture.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/json.h"
#include "core/result.h"
#include "kernels/hadamard.h"

namespace octavo::model {

enum class RopeScaling : uint8_t { kNone, kLinear, kLlama3 };

// Rotary position embedding (Su et al. 2021) and the scalings of
// transformers/modeling_rope_utils.py that octavo runs.
struct RopeConfig {
  double theta = 10000;
  RopeScaling scaling = RopeScaling::kNone;
  double factor = 1;
  double low_freq_factor = 1;  // kLlama3 only, as the next two
  double high_freq_factor = 4;
  int64_t original_context = 8192;
};

struct ModelConfig {
  std::string architecture;  // "LlamaForCausalLM"
  int64_t vocab_size = 0;    // V, rows of the embedding
  int64_t hidden_size = 0;
  int64_t intermediate_size = 0;
  int64_t layers = 0;
  int64_t heads = 0;  // H
  int64_t kv_heads = 0;
  int64_t head_dim = 0;  // D
  int64_t context = 0;   // max_position_embeddings
  double rms_norm_eps = 1e-6;
  RopeConfig rope;
  bool tied_embeddings = false;  // lm_head is the embedding
  bool qkv_bias = false;
  bool o_bias = false;
  bool mlp_bias = false;
  bool qk_norm = false;     // RMS norm of each head of Q and K before the rotation (Qwen3)
  bool plain_norms = true;  // norms multiply by their weight, not by 1 + weight
  std::vector<int64_t>
      windows;  // per layer: how many positions back attention sees, itself included; 0: all
  // Of down_proj's inputs, when the model runs (quantization_config.online_rotation); nullptr:
  // none.
  std::shared_ptr<const kernels::Hadamard> down_rotation;
  std::vector<int32_t> eos_ids;
  int32_t bos_id = -1;  // -1: none
};

// Reads config.json (old and new spelling: rope_theta and rope_scaling, or rope_parameters). The
// architecture must be one of arch/; what it or octavo cannot run (another activation, rope kind,
// dimensions that do not fit) is refused by name.
core::Result<ModelConfig> ParseModelConfig(const core::Json& config);
// The same, and the eos ids of generation_config.json in that folder where it has any.
core::Result<ModelConfig> LoadModelConfig(const core::Json& config, const std::string& folder);

}  // namespace octavo::model
