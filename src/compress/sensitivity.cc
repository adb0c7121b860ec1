#include "compress/sensitivity.h"

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>

#include "compress/block_tensors.h"
#include "compress/input_stats.h"
#include "compress/layer_plan.h"
#include "compress/model_ends.h"
#include "compress/sensitivity_document.h"
#include "engine/block_stream.h"
#include "eval/row_score.h"
#include "kernels/packed_matrix.h"
#include "model/block.h"
#include "quant/output_error.h"
#include "quant/rtn.h"

namespace octavo::compress {
namespace {

constexpr int64_t kRowsPerChunk = 256;  // of logits

std::array<model::Linear*, 7> Linears(model::BlockWeights& block) {
  return {&block.q_proj,    &block.k_proj,  &block.v_proj,   &block.o_proj,
          &block.gate_proj, &block.up_proj, &block.down_proj};
}

// A model in memory, its hidden states before each block, and what it says about the samples.
class Probe {
 public:
  Probe(const format::ModelFolder& source, const model::ModelConfig& config, core::ThreadPool& pool,
        const core::CancelToken& cancel)
      : source_(source),
        config_(config),
        pool_(pool),
        cancel_(cancel),
        stream_(config, model::Compute::kF32, model::KvType::kF32, pool) {}

  core::Status Load(std::vector<std::vector<int32_t>> samples, core::Progress& progress) {
    std::vector<int64_t> lengths;
    std::vector<int32_t> ids;
    for (const auto& sample : samples) {
      lengths.push_back(static_cast<int64_t>(sample.size()));
      ids.insert(ids.end(), sample.begin(), sample.end());
    }
    OCTAVO_TRY(const ModelEnds ends, ModelEnds::Open(source_, config_, plan_, nullptr, pool_));
    norm_ = ends.Norm();
    OCTAVO_TRY(head_, ends.Head());
    OCTAVO_TRY(auto states, Empty(lengths));
    OCTAVO_RETURN_IF_ERROR(ends.Embed(ids, states));
    states_.push_back(std::move(states));
    progress.Begin("observe", config_.layers, "blocks");
    format::WeightReader reader(source_);
    for (int64_t layer = 0; layer < config_.layers; ++layer) {
      OCTAVO_TRY(auto block, model::LoadBlock(reader, {}, config_, layer, pool_));
      blocks_.push_back(std::move(block));
      stats_.emplace_back(true, pool_);
      OCTAVO_TRY(auto next, Empty(lengths));
      OCTAVO_RETURN_IF_ERROR(stream_.Forward(blocks_.back(), layer, states_.back(), &next,
                                             stats_.back().tap(), cancel_));
      states_.push_back(std::move(next));
      progress.Advance(1);
    }
    progress.End();
    return {};
  }

  StatsCollector& stats(int64_t layer) { return stats_[static_cast<size_t>(layer)]; }
  int64_t rows() const { return states_[0].rows(); }

  // Mean KL divergence from the model, with these layers of block `layer` exchanged for the call.
  core::Result<double> Divergence(int64_t layer, std::vector<model::Linear>& replaced,
                                  std::span<const size_t> places) {
    const auto index = static_cast<size_t>(layer);
    const auto linears = Linears(blocks_[index]);
    for (size_t i = 0; i < places.size(); ++i) std::swap(*linears[places[i]], replaced[i]);
    auto result = Run(layer);
    for (size_t i = 0; i < places.size(); ++i) std::swap(*linears[places[i]], replaced[i]);
    return result;
  }

 private:
  core::Result<engine::HiddenStates> Empty(const std::vector<int64_t>& lengths) const {
    return engine::HiddenStates::Create(lengths, config_.hidden_size, {int64_t{1} << 40, "."});
  }

  core::Result<double> Run(int64_t layer) {
    const auto index = static_cast<size_t>(layer);
    std::vector<int64_t> lengths;
    for (int64_t i = 0; i < states_[0].sequences(); ++i) lengths.push_back(states_[0].length(i));
    OCTAVO_TRY(auto states, Empty(lengths));
    const engine::HiddenStates* in = &states_[index];
    for (int64_t i = layer; i < config_.layers; ++i) {
      OCTAVO_RETURN_IF_ERROR(
          stream_.Forward(blocks_[static_cast<size_t>(i)], i, *in, &states, {}, cancel_));
      in = &states;
    }
    return Compare(states);
  }

  core::Result<double> Compare(const engine::HiddenStates& candidate) {
    const auto width = static_cast<size_t>(config_.hidden_size);
    const auto vocab = static_cast<size_t>(config_.vocab_size);
    double sum = 0;
    for (int64_t row = 0; row < rows(); row += kRowsPerChunk) {
      OCTAVO_RETURN_IF_ERROR(cancel_.Check());
      const int64_t count = std::min(kRowsPerChunk, rows() - row);
      std::array<std::vector<float>, 2> logits;
      const std::array<const engine::HiddenStates*, 2> sides = {&states_.back(), &candidate};
      std::vector<float> hidden(static_cast<size_t>(count) * width);
      for (size_t side = 0; side < 2; ++side) {
        OCTAVO_RETURN_IF_ERROR(sides[side]->Read(row, hidden));
        logits[side].resize(static_cast<size_t>(count) * vocab);
        stream_.Head(head_, norm_, hidden.data(), count, logits[side].data());
      }
      const std::vector<int32_t> targets(static_cast<size_t>(count), 0);
      std::vector<eval::RowScore> scores(static_cast<size_t>(count));
      eval::ScoreRows(logits[0], logits[1], targets, pool_, scores);
      for (const eval::RowScore& score : scores) sum += score.kld;
    }
    return sum / static_cast<double>(rows());
  }

  const format::ModelFolder& source_;
  const model::ModelConfig& config_;
  core::ThreadPool& pool_;
  const core::CancelToken& cancel_;
  engine::BlockStream stream_;
  LayerPlan plan_;
  std::vector<float> norm_;
  model::Linear head_;
  std::vector<model::BlockWeights> blocks_;
  std::vector<StatsCollector> stats_;
  std::vector<engine::HiddenStates> states_;  // before block i; the last behind all
};

std::vector<std::vector<int32_t>> Shortened(const std::vector<std::vector<int32_t>>& samples,
                                            const SensitivityOptions& options) {
  std::vector<std::vector<int32_t>> out;
  for (const auto& sample : samples) {
    if (static_cast<int64_t>(out.size()) == options.samples) break;
    const auto length = std::min(sample.size(), static_cast<size_t>(options.tokens));
    out.emplace_back(sample.begin(), sample.begin() + static_cast<std::ptrdiff_t>(length));
  }
  return out;
}

struct Rounded {
  double error = 0;   // of all outputs of the group
  double energy = 0;  // of the outputs themselves
  double bits = 0;
  std::vector<model::Linear> linears;
};

core::Result<Rounded> RoundGroup(const std::vector<DenseLinear*>& group,
                                 const quant::SecondMoments& moments, const tensor::Scheme& scheme,
                                 core::ThreadPool& pool) {
  Rounded out;
  const std::vector<float> importance = moments.Diagonal();
  for (const DenseLinear* dense : group) {
    OCTAVO_TRY(const tensor::QuantizedTensor codes,
               quant::RoundToNearest(dense->view(), scheme, tensor::DType::kF32, pool,
                                     quant::Clip::kMse, importance));
    out.error += quant::OutputError(dense->weight, codes, moments, pool);
    // The outputs themselves are the error of a matrix of zeros.
    out.energy += quant::OutputErrorOf(
        dense->n,
        [dense](int64_t n, std::span<float> row) {
          std::copy_n(dense->weight.begin() + n * dense->k, dense->k, row.begin());
        },
        moments, pool);
    out.bits += static_cast<double>(codes.codes.size()) * scheme.weight_bits +
                static_cast<double>(codes.scales.size()) * 16;
    OCTAVO_TRY(auto linear, model::Linear::Pack(dense->module, codes, scheme, dense->bias, pool));
    out.linears.push_back(std::move(linear));
  }
  return out;
}

core::Result<GroupSensitivity> MeasureGroup(Probe& probe, BlockTensors& block, FusedGroup group,
                                            const SensitivityOptions& options,
                                            core::ThreadPool& pool) {
  GroupSensitivity out;
  out.layer = block.layer;
  out.group = group;
  std::vector<size_t> places;
  for (size_t i = 0; i < kGroupOfModule.size(); ++i) {
    if (kGroupOfModule[i] == group) places.push_back(i);
  }
  const std::vector<DenseLinear*> linears = block.group(group);
  for (const DenseLinear* linear : linears) out.weights += linear->n * linear->k;
  const quant::SecondMoments& moments = *probe.stats(block.layer).of(group).moments;
  double kld = -1;
  double kld_error = 0;
  for (const tensor::Scheme& scheme : options.schemes) {
    if (!kernels::PackedMatrix::CanPack(scheme.weight_bits, scheme.group_size, linears[0]->k))
      continue;
    OCTAVO_TRY(Rounded rounded, RoundGroup(linears, moments, scheme, pool));
    if (kld < 0) {
      OCTAVO_TRY(kld, probe.Divergence(block.layer, rounded.linears, places));
      kld_error = rounded.error;
    }
    const double share = kld_error > 0 ? rounded.error / kld_error : 0;
    out.losses.push_back({scheme, rounded.bits,
                          rounded.energy > 0 ? rounded.error / rounded.energy : 0, kld * share});
  }
  return out;
}

}  // namespace

core::Result<std::vector<GroupSensitivity>> MeasureSensitivity(
    const format::ModelFolder& source, const model::ModelConfig& config,
    const std::vector<std::vector<int32_t>>& samples, const SensitivityOptions& options,
    SensitivityJournal& journal, core::ThreadPool& pool, core::Progress& progress,
    const core::CancelToken& cancel) {
  constexpr auto kGroups = static_cast<int64_t>(kFusedGroups.size());
  const int64_t all = config.layers * kGroups;
  const auto measured = [&] { return static_cast<int64_t>(journal.groups().size()); };
  if (measured() > 0) progress.Note(fmt::format("going on after group {} of {}", measured(), all));
  if (measured() >= all) return journal.groups();
  Probe probe(source, config, pool, cancel);
  OCTAVO_RETURN_IF_ERROR(probe.Load(Shortened(samples, options), progress));
  progress.Begin("measure groups", all - measured(), "groups");
  for (int64_t layer = measured() / kGroups; layer < config.layers; ++layer) {
    OCTAVO_TRY(BlockTensors block, LoadBlockTensors(source, config, layer, pool));
    for (int64_t i = measured() % kGroups; i < kGroups; ++i) {
      OCTAVO_TRY(auto group,
                 MeasureGroup(probe, block, kFusedGroups[static_cast<size_t>(i)], options, pool));
      OCTAVO_RETURN_IF_ERROR(journal.Add(std::move(group)));
      progress.Advance(1);
    }
  }
  progress.End();
  return journal.groups();
}

}  // namespace octavo::compress
