#include "engine/streamed_model.h"

#include <algorithm>

#include "core/file.h"
#include "kernels/dispatch.h"
#include "model/block.h"
#include "model/surplus_tensors.h"

namespace octavo::engine {
namespace {

constexpr char kEmbedding[] = "model.embed_tokens";

std::string HeadModule(const model::ModelConfig& config) {
  return config.tied_embeddings ? kEmbedding : "lm_head";
}

}  // namespace

core::Result<StreamedModel> StreamedModel::Open(const std::string& model_dir,
                                                model::Compute compute, model::KvType kv,
                                                core::ThreadPool& pool) {
  OCTAVO_RETURN_IF_ERROR(kernels::CheckIsaOverride());
  OCTAVO_TRY(format::ModelFolder folder, format::ModelFolder::Open(model_dir));
  StreamedModel out;
  out.folder_ = std::make_unique<format::ModelFolder>(std::move(folder));
  out.pool_ = &pool;
  OCTAVO_TRY(out.config_, model::LoadModelConfig(out.folder_->config(), model_dir));
  OCTAVO_TRY(out.quantization_,
             format::QuantizationConfig::Parse(out.folder_->config()).Context(model_dir));
  if (out.quantization_.SchemeOf(kEmbedding)) {
    return core::Unsupported(model_dir + ": a quantized embedding is not run block by block");
  }
  OCTAVO_RETURN_IF_ERROR(
      model::RefuseSurplusTensors(*out.folder_, out.quantization_, out.config_).Context(model_dir));
  if (core::FileExists(core::JoinPath(model_dir, "tokenizer.json"))) {
    OCTAVO_TRY(out.tokenizer_, text::Tokenizer::Load(model_dir, out.config_.vocab_size));
  }
  out.stream_ = std::make_unique<BlockStream>(out.config_, compute, kv, pool);
  return out;
}

int64_t StreamedModel::largest_block_bytes() const {
  std::vector<int64_t> blocks(static_cast<size_t>(config_.layers), 0);
  constexpr std::string_view kPrefix = "model.layers.";
  for (const std::string& name : folder_->tensor_names()) {
    if (std::string_view(name).substr(0, kPrefix.size()) != kPrefix) continue;
    size_t layer = 0;
    for (size_t i = kPrefix.size(); i < name.size() && name[i] >= '0' && name[i] <= '9'; ++i)
      layer = std::min(10 * layer + static_cast<size_t>(name[i] - '0'), blocks.size());
    if (layer < blocks.size())
      blocks[layer] += static_cast<int64_t>(folder_->FindTensor(name)->bytes.size());
  }
  return *std::max_element(blocks.begin(), blocks.end());
}

void StreamedModel::Note(const model::Linear& linear) {
  if (linear.calls() > 0) isas_.insert(linear.isa());
}

core::Status StreamedModel::Run(std::span<const text::TokenId> ids, HiddenStates& states,
                                core::Progress& progress, const core::CancelToken& cancel) {
  const auto run = [&]() -> core::Status {
    OCTAVO_TRY(const tensor::TensorView embedding,
               model::GetFloatTensor(*folder_, std::string(kEmbedding) + ".weight",
                                     {config_.vocab_size, config_.hidden_size}));
    OCTAVO_RETURN_IF_ERROR(stream_->Embed(embedding, ids, states));
    folder_->DropPages(embedding);
    weights_bytes_ = 0;
    format::WeightReader reader(*folder_);
    for (int64_t layer = 0; layer < config_.layers; ++layer) {
      OCTAVO_RETURN_IF_ERROR(cancel.Check());
      OCTAVO_TRY(const model::BlockWeights block,
                 model::LoadBlock(reader, quantization_, config_, layer, *pool_));
      OCTAVO_RETURN_IF_ERROR(stream_->Forward(block, layer, states, &states, {}, cancel,
                                              [&](int64_t rows) { progress.Advance(rows); }));
      weights_bytes_ += block.resident_bytes();
      for (const model::Linear* linear : block.linears()) Note(*linear);
    }
    if (!config_.tied_embeddings) weights_bytes_ += kernels::PackedMatrix::BytesOf(embedding);
    return {};
  };
  return run().Context(folder_->path());
}

core::Status StreamedModel::LoadHead() {
  const auto load = [&]() -> core::Status {
    OCTAVO_TRY(norm_, model::LoadFloats(*folder_, "model.norm.weight", config_.hidden_size,
                                        config_.hidden_size));
    format::WeightReader reader(*folder_);
    OCTAVO_TRY(head_, model::Linear::Load(reader, quantization_, HeadModule(config_),
                                          config_.vocab_size, config_.hidden_size, false, *pool_));
    weights_bytes_ += head_.resident_bytes() + static_cast<int64_t>(norm_.size() * sizeof(float));
    return {};
  };
  return load().Context(folder_->path());
}

void StreamedModel::Head(const float* hidden, int64_t rows, float* logits) {
  stream_->Head(head_, norm_, hidden, rows, logits);
  Note(head_);
}

}  // namespace octavo::engine
