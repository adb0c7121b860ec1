#include "compress/block_walk.h"

#include <memory>
#include <optional>

#include <fmt/format.h>

#include "compress/block_methods.h"
#include "compress/input_stats.h"
#include "engine/block_stream.h"
#include "engine/hidden_states.h"

namespace octavo::compress {
namespace {

core::Result<engine::HiddenStates> FirstStates(const WalkInputs& in, const BlockStore& store) {
  std::vector<int64_t> lengths;
  std::vector<int32_t> ids;
  for (const std::vector<int32_t>& sample : in.samples) {
    lengths.push_back(static_cast<int64_t>(sample.size()));
    ids.insert(ids.end(), sample.begin(), sample.end());
  }
  OCTAVO_TRY(engine::HiddenStates states,
             engine::HiddenStates::Create(std::move(lengths), in.config.hidden_size,
                                          {in.max_states_bytes, store.folder()}));
  if (store.finished() == 0) {
    OCTAVO_RETURN_IF_ERROR(in.ends.Embed(ids, states));
  } else {
    OCTAVO_RETURN_IF_ERROR(store.LoadStates(states));
  }
  return states;
}

}  // namespace

core::Status WalkBlocks(const WalkInputs& in, BlockStore& store, core::ThreadPool& pool,
                        core::Progress& progress, const core::CancelToken& cancel) {
  const int64_t layers = in.config.layers;
  if (store.finished() > 0)
    progress.Note(fmt::format("going on after block {} of {}", store.finished(), layers));
  if (store.finished() >= layers) return {};
  const bool observes = in.observes;
  std::optional<engine::HiddenStates> states;
  if (observes) {
    OCTAVO_TRY(states, FirstStates(in, store));
  }
  std::shared_ptr<const kernels::Hadamard> inner;
  if (in.rotation != nullptr && in.rotation->inner)
    inner = std::make_shared<const kernels::Hadamard>(*in.rotation->inner);
  engine::BlockStream stream(in.config, model::Compute::kF32, model::KvType::kF32, pool);
  // A block takes two passes of all rows: one to observe it, one for what the next one reads.
  const int64_t rows = observes ? states->rows() : 1;
  progress.Begin("quantize blocks", (layers - store.finished()) * 2 * rows,
                 observes ? "tokens" : "blocks");
  const auto advance = [&](int64_t done) { progress.Advance(done); };
  while (store.finished() < layers) {
    const int64_t layer = store.finished();
    OCTAVO_RETURN_IF_ERROR(cancel.Check());
    OCTAVO_TRY(BlockTensors block, LoadBlockTensors(in.source, in.config, layer, pool));
    if (in.rotation != nullptr) {
      FoldNorms(block);
      Rotate(block, *in.rotation, in.config, pool);
    }
    std::optional<StatsCollector> stats;
    if (observes) {
      stats.emplace(in.recipe.needs_moments(), pool);
      const model::BlockWeights dense = PackDense(block, inner, pool);
      OCTAVO_RETURN_IF_ERROR(
          stream.Forward(dense, layer, *states, nullptr, stats->tap(), cancel, advance));
    }
    OCTAVO_TRY(const QuantizedBlock quantized,
               QuantizeBlock(std::move(block), stats ? &*stats : nullptr, in.recipe, in.plan,
                             in.config, pool));
    const bool last = layer + 1 == layers;
    if (observes && !last) {
      OCTAVO_TRY(const model::BlockWeights weights, PackQuantized(quantized, inner, pool));
      OCTAVO_RETURN_IF_ERROR(
          stream.Forward(weights, layer, *states, &*states, {}, cancel, advance));
    } else {
      progress.Advance(observes ? rows : 2);
    }
    OCTAVO_RETURN_IF_ERROR(store.Commit(quantized, observes && !last ? &*states : nullptr));
  }
  progress.End();
  return {};
}

}  // namespace octavo::compress
