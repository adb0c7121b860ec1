// A model of three layers as a GGUF file, made of a Hugging Face folder of the test data the way
// llama.cpp's converter would. For tests only.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "core/file.h"
#include "format/gguf_builder.h"
#include "format/model_folder.h"
#include "format/weight_names.h"

namespace octavo::hub {

inline const std::string kModels = OCTAVO_TESTDATA "/architectures/";

// The 256 symbols of byte-level BPE are not needed: text of a, b and c is enough.
inline void AddTokenizer(format::GgufBuilder& builder, const std::string& pre = "gpt-2") {
  builder.String("tokenizer.ggml.model", "gpt2")
      .String("tokenizer.ggml.pre", pre)
      .Strings("tokenizer.ggml.tokens", {"<s>", "</s>", "a", "b", "c", "ab", "abc", "[PAD7]"})
      .I32s("tokenizer.ggml.token_type", {3, 3, 1, 1, 1, 1, 1, 5})
      .Strings("tokenizer.ggml.merges", {"a b", "ab c"})
      .U32("tokenizer.ggml.bos_token_id", 0)
      .U32("tokenizer.ggml.eos_token_id", 1)
      .Bool("tokenizer.ggml.add_bos_token", true)
      .String("tokenizer.chat_template", "{{ messages[0].content }}");
}

inline std::vector<float> Floats(const tensor::TensorView& view) {
  std::vector<float> values(static_cast<size_t>(view.elements()));
  tensor::ConvertToFloat(view.dtype, view.bytes, values);
  return values;
}

// numpy: w.reshape(heads, 2, half, ...).swapaxes(1, 2).reshape(w.shape), as conversion/llama.py.
inline std::vector<float> Interleave(const std::vector<float>& rows, size_t heads) {
  const size_t row = rows.size() / (heads * 16);  // the fixtures' llama heads are 16 wide
  std::vector<float> out;
  for (size_t head = 0; head < heads; ++head) {
    for (size_t j = 0; j < 8; ++j) {
      for (size_t half = 0; half < 2; ++half) {
        const auto from =
            rows.begin() + static_cast<std::ptrdiff_t>((head * 16 + half * 8 + j) * row);
        out.insert(out.end(), from, from + static_cast<std::ptrdiff_t>(row));
      }
    }
  }
  return out;
}

inline format::GgufBuilder GgufOf(const format::ModelFolder& folder,
                                  const std::string& architecture) {
  const core::Json& config = folder.config();
  const auto count = [&](const char* key) { return config[key].get<uint32_t>(); };
  const std::string prefix = architecture + ".";
  format::GgufBuilder builder;
  builder.String("general.architecture", architecture)
      .U32(prefix + "context_length", count("max_position_embeddings"))
      .U32(prefix + "embedding_length", count("hidden_size"))
      .U32(prefix + "block_count", count("num_hidden_layers"))
      .U32(prefix + "feed_forward_length", count("intermediate_size"))
      .U32(prefix + "attention.head_count", count("num_attention_heads"))
      .U32(prefix + "attention.head_count_kv", count("num_key_value_heads"))
      .F32(prefix + "attention.layer_norm_rms_epsilon", config["rms_norm_eps"].get<float>())
      .F32(prefix + "rope.freq_base", config["rope_parameters"]["rope_theta"].get<float>());
  if (config.contains("head_dim")) builder.U32(prefix + "attention.key_length", count("head_dim"));
  AddTokenizer(builder);
  for (const std::string& name : folder.tensor_names()) {
    const auto id = format::FindHfName(name);
    const tensor::TensorView& view = *folder.FindTensor(name);
    std::vector<float> values = Floats(view);
    if (architecture == "llama" && id->name->rows != format::RowOrder::kSame) {
      const bool query = id->name->rows == format::RowOrder::kQueryHeads;
      values = Interleave(values, count(query ? "num_attention_heads" : "num_key_value_heads"));
    }
    builder.F32Tensor(format::GgufName(*id), view.shape, values);
  }
  return builder;
}

}  // namespace octavo::hub
