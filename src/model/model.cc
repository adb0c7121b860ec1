#include "model/model.h"

#include <algorithm>

#include "kernels/elementwise.h"
#include "model/block.h"
#include "model/rope.h"
#include "model/surplus_tensors.h"

namespace octavo::model {

struct Model::State {
  ModelConfig config;
  Compute compute;
  core::ThreadPool& pool;
  kernels::PackedMatrix embedding;  // empty when tied: then lm_head's weights serve both
  std::vector<BlockWeights> blocks;
  std::vector<float> final_norm;
  Linear lm_head;
  std::vector<float> rope_frequencies;
  BlockScratch scratch;
  Tap tap;
  Profile profile;

  const kernels::PackedMatrix& embedding_rows() const {
    return embedding.n() > 0 ? embedding : lm_head.weight();
  }
};

namespace {

constexpr char kEmbedding[] = "model.embed_tokens";

}  // namespace

Model::Model(std::unique_ptr<State> state) : state_(std::move(state)) {}
Model::~Model() = default;

core::Result<std::unique_ptr<Model>> Model::Load(const format::ModelFolder& folder,
                                                 const LoadOptions& options,
                                                 core::ThreadPool& pool) {
  OCTAVO_TRY(ModelConfig config, LoadModelConfig(folder.config(), folder.path()));
  const auto load = [&]() -> core::Result<std::unique_ptr<Model>> {
    OCTAVO_TRY(const auto quantization, format::QuantizationConfig::Parse(folder.config()));
    std::unique_ptr<State> state(
        new State{config, options.compute, pool, {}, {}, {}, {}, {}, {}, {}, {}});
    const int64_t v = config.vocab_size;
    const int64_t hidden = config.hidden_size;
    format::WeightReader reader(folder, format::WeightReader::WayToKeep(folder));
    for (int64_t i = 0; i < config.layers; ++i) {
      OCTAVO_TRY(auto block, LoadBlock(reader, quantization, config, i, pool));
      state->blocks.push_back(std::move(block));
    }
    OCTAVO_TRY(state->final_norm, LoadFloats(folder, "model.norm.weight", hidden, hidden));
    if (config.tied_embeddings) {
      OCTAVO_TRY(state->lm_head,
                 Linear::Load(reader, quantization, kEmbedding, v, hidden, false, pool));
    } else {
      OCTAVO_TRY(const auto view,
                 GetFloatTensor(folder, std::string(kEmbedding) + ".weight", {v, hidden}));
      OCTAVO_TRY(state->embedding, LoadFloatMatrix(reader, view, pool));
      OCTAVO_TRY(state->lm_head,
                 Linear::Load(reader, quantization, "lm_head", v, hidden, false, pool));
    }
    state->rope_frequencies = RopeFrequencies(config);
    std::unique_ptr<Model> model(new Model(std::move(state)));
    OCTAVO_RETURN_IF_ERROR(RefuseSurplusTensors(folder, quantization, config));
    return model;
  };
  return load().Context(folder.path());
}

const ModelConfig& Model::config() const {
  return state_->config;
}
Compute Model::compute() const {
  return state_->compute;
}
void Model::set_tap(Tap tap) {
  state_->tap = std::move(tap);
}

int64_t Model::resident_bytes() const {
  int64_t bytes = state_->embedding.bytes() + state_->lm_head.resident_bytes();
  for (const BlockWeights& block : state_->blocks) bytes += block.resident_bytes();
  return bytes + static_cast<int64_t>(state_->final_norm.size() * sizeof(float));
}

int64_t Model::step_bytes() const {
  return resident_bytes() - state_->embedding.bytes();
}
const Profile& Model::profile() const {
  return state_->profile;
}
void Model::ResetProfile() {
  state_->profile = {};
}

std::vector<const Linear*> Model::linears() const {
  std::vector<const Linear*> out;
  for (const BlockWeights& block : state_->blocks) {
    for (const Linear* linear : block.linears()) out.push_back(linear);
  }
  out.push_back(&state_->lm_head);
  return out;
}

void Model::Embed(std::span<const int32_t> ids, float* hidden) {
  const auto size = static_cast<size_t>(state_->config.hidden_size);
  const kernels::PackedMatrix& rows = state_->embedding_rows();
  state_->pool.ParallelFor(static_cast<int64_t>(ids.size()), 16, [&](int64_t begin, int64_t end) {
    for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i) {
      rows.UnpackRow(ids[i], std::span(hidden + i * size, size));
    }
  });
}

void Model::Prepare(std::span<const BatchSegment> segments, Batch& batch) const {
  batch.Assign(state_->config, state_->rope_frequencies, segments, state_->pool);
}

void Model::Block(int64_t layer, const Batch& batch, KvPool& kv, float* hidden) {
  const ForwardContext context{state_->config, state_->compute, state_->pool, state_->tap,
                               state_->profile};
  const std::vector<BlockWeights>& blocks = state_->blocks;
  const auto at = static_cast<size_t>(layer);
  const Linear* const head[] = {&state_->lm_head};
  const bool last = at + 1 == blocks.size();
  const BlockWeights& after = blocks[last ? 0 : at + 1];
  const std::array<const Linear*, 3> first = after.first();
  const NextProjection next = last ? NextProjection{head, state_->final_norm.data()}
                                   : NextProjection{first, after.input_norm.data()};
  ForwardBlock(context, blocks[at], layer, batch, kv, next, state_->scratch, hidden);
}

void Model::Head(const float* hidden, int64_t rows, float* logits) {
  const kernels::RowNorm norm = {state_->final_norm.data(),
                                 static_cast<float>(state_->config.rms_norm_eps)};
  const ForwardContext context{state_->config, state_->compute, state_->pool, state_->tap,
                               state_->profile};
  const std::array<const Linear*, 3> first = state_->blocks[0].first();
  ExpectProject(context, rows, {first, state_->blocks[0].input_norm.data()});
  Project(context, -1, {hidden, rows, norm}, {{&state_->lm_head, logits}},
          state_->scratch.projection);
}

}  // namespace octavo::model
