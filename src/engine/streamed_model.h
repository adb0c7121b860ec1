// A model folder run block by block over many sequences: only one block's weights are in memory at
// a time. What comes out are the engine's bits.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "core/progress.h"
#include "core/result.h"
#include "core/thread_pool.h"
#include "engine/block_stream.h"
#include "engine/hidden_states.h"
#include "format/compressed_tensors.h"
#include "format/model_folder.h"
#include "model/linear.h"
#include "text/tokenizer.h"

namespace octavo::engine {

// Not thread-safe. `pool` must outlive it.
class StreamedModel {
 public:
  // Reads the config and the tokenizer, where there is one; weights are read by Run and LoadHead.
  // A folder with surplus tensors is refused.
  static core::Result<StreamedModel> Open(const std::string& model_dir, model::Compute compute,
                                          model::KvType kv, core::ThreadPool& pool);

  const model::ModelConfig& config() const { return config_; }
  const text::Tokenizer* tokenizer() const { return tokenizer_ ? &*tokenizer_ : nullptr; }
  // Bytes of all weights in the file, and of the largest block's. The packed block takes as much
  // memory, and one of its tensors is mapped meanwhile.
  int64_t file_bytes() const { return folder_->weights_bytes(); }
  int64_t largest_block_bytes() const;

  // ids: those of all sequences of `states`, one after the other, each in [0, V). Fills `states`
  // with what the last block leaves. `progress`, already begun, advances by a row for each block
  // that it passed. Errors: tensors that are missing or wrong; Interrupted.
  core::Status Run(std::span<const text::TokenId> ids, HiddenStates& states,
                   core::Progress& progress, const core::CancelToken& cancel);
  // After Run. logits: [rows, V] f32 from hidden: [rows, hidden].
  core::Status LoadHead();
  void Head(const float* hidden, int64_t rows, float* logits);

  // After Run and LoadHead: what a model in memory would keep resident (Model::resident_bytes), and
  // the instruction sets that its linear layers ran.
  int64_t weights_bytes() const { return weights_bytes_; }
  const std::set<std::string>& isas() const { return isas_; }

 private:
  StreamedModel() = default;
  // What is remembered of a layer that has run.
  void Note(const model::Linear& linear);
  std::unique_ptr<format::ModelFolder> folder_;
  format::QuantizationConfig quantization_;
  model::ModelConfig config_;
  std::optional<text::Tokenizer> tokenizer_;
  core::ThreadPool* pool_ = nullptr;
  std::unique_ptr<BlockStream> stream_;
  model::Linear head_;
  std::vector<float> norm_;
  int64_t weights_bytes_ = 0;
  std::set<std::string> isas_;
};

}  // namespace octavo::engine
