// A Hugging Face model folder: config.json, weights in one safetensors file or in shards with an
// index, and the files of the tokenizer beside them.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/json.h"
#include "core/result.h"
#include "format/safetensors.h"

namespace octavo::format {

// Immutable, safe from many threads; tensor views live as long as it does.
class ModelFolder {
 public:
  // Reads config.json and opens model.safetensors or the shards of model.safetensors.index.json
  // (shard names are confined to the folder; a tensor in two shards, or one that the index
  // misplaces, is refused). Pickle files (.bin, .pt, .pth) are refused with the remedy. Does not
  // judge the architecture: `model` does.
  static core::Result<ModelFolder> Open(const std::string& path);

  const std::string& path() const { return path_; }
  const core::Json& config() const { return config_; }
  // All tensor names, in file order, shard after shard.
  const std::vector<std::string>& tensor_names() const { return names_; }
  const tensor::TensorView* FindTensor(std::string_view name) const;
  // The same, or an Error that names the folder, the tensor and the nearest names that exist.
  core::Result<tensor::TensorView> GetTensor(std::string_view name) const;
  // The weights are not needed any more for now: gives the mapped pages of this tensor back.
  void DropPages(const tensor::TensorView& view) const;
  // The file that holds a tensor of this folder.
  const core::MappedFile& FileOf(const tensor::TensorView& view) const;
  // Total bytes of all tensors.
  int64_t weights_bytes() const { return weights_bytes_; }
  const std::vector<SafetensorsFile>& shards() const { return shards_; }

 private:
  ModelFolder() = default;
  // nullptr for what is in none.
  const SafetensorsFile* ShardOf(const tensor::TensorView& view) const;
  // Fills names_ and index_ from the shards; `weight_map` is that of the index file, or null.
  core::Status IndexTensors(const core::Json& weight_map);
  std::string path_;
  core::Json config_;
  std::vector<SafetensorsFile> shards_;
  std::vector<std::string> names_;
  std::unordered_map<std::string_view, const tensor::TensorView*> index_;
  int64_t weights_bytes_ = 0;
};

// The tensors of a model.safetensors.index.json and the file that holds each. The names are as they
// stand there.
core::Result<std::map<std::string, std::string, std::less<>>> ParseShardIndex(
    const core::Json& index);

// The files beside the weights that a model folder may hold and that every derived folder takes
// over unchanged (tokenizer.json, tokenizer_config.json, special_tokens_map.json,
// chat_template.jinja, generation_config.json, LICENSE...).
std::vector<std::string> CompanionFiles(const std::string& folder);

}  // namespace octavo::format
