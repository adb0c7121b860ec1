// config.json and generation_config.json from the metadata of a GGUF file.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "core/json.h"
#include "core/result.h"
#include "format/gguf.h"

namespace octavo::hub {

// One architecture that octavo imports and exports: what GGUF calls it and what Hugging Face does.
struct ImportedArchitecture {
  std::string_view gguf;
  std::string_view hf_class;
  std::string_view model_type;
  bool permuted;  // rows of Q and K are interleaved, see format::RowOrder
  bool qk_norm;
};

// By the class that config.json names; nullptr: none of ours.
const ImportedArchitecture* FindHfArchitecture(std::string_view hf_class);

// The dimensions that the rest of the import needs.
struct GgufModel {
  const ImportedArchitecture* architecture = nullptr;
  int64_t layers = 0;
  int64_t heads = 0;
  int64_t kv_heads = 0;
  int64_t head_dim = 0;
  int64_t vocab_size = 0;
  int64_t context = 0;
  core::Json config;             // all of config.json but torch_dtype
  core::Json generation_config;  // the same ids of the first and the last tokens
};

// Refused by name: other architectures, keys of the architecture that octavo does not know (they
// could change the arithmetic), rope scalings other than none, linear and Llama 3's.
core::Result<GgufModel> ReadGgufModel(const format::GgufFile& file);

// Llama 3's rope scaling as config.json says it, found from the frequency divisors that GGUF keeps
// in its place (`rope_freqs.weight`, one for each pair of dimensions); an Error when no published
// setting gives them. Formula: transformers, modeling_rope_utils.py, llama3.
core::Result<core::Json> RecoverLlama3Scaling(std::span<const float> divisors, double theta);
// The other way, for `count` pairs; `scaling` as config.json has it.
core::Result<std::vector<float>> Llama3Divisors(const core::Json& scaling, double theta,
                                                int64_t count);

}  // namespace octavo::hub
