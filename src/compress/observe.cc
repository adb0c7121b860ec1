#include "compress/observe.h"

#include <algorithm>
#include <cmath>
#include <unordered_map>
#include <utility>

#include "engine/block_stream.h"
#include "format/model_folder.h"
#include "kernels/elementwise.h"
#include "model/block.h"
#include "model/config.h"

namespace octavo::compress {
namespace {

using core::Result;
using core::Status;

// Rows of the last hidden states that are normed at a time.
constexpr int64_t kRowsPerPass = 512;

// Finds the observer of a tap's input, and which sample each of its rows is of: rows come in the
// order of the samples.
class Observers {
 public:
  Observers(const engine::HiddenStates& states, bool samples, core::ThreadPool& pool)
      : states_(states), per_sample_(samples), pool_(pool) {}

  void Observe(std::vector<std::string> modules, int64_t k, const float* x, int64_t rows) {
    if (!status_.ok()) return;
    const auto [found, is_new] = index_.emplace(modules.front(), inputs_.size());
    if (is_new) {
      Input input;
      input.ranges.modules = std::move(modules);
      input.ranges.channel_absmax.assign(static_cast<size_t>(k), 0);
      if (per_sample_) input.absmax.assign(static_cast<size_t>(states_.sequences()), 0);
      inputs_.push_back(std::move(input));
    }
    Input& input = inputs_[found->second];
    if (per_sample_) ObserveSamples(x, rows, k, input);
    status_ = input.ranges.Observe(x, rows, pool_);
  }

  const Status& status() const { return status_; }

  Observation Take() {
    Observation out;
    if (per_sample_) out.samples.resize(static_cast<size_t>(states_.sequences()));
    for (Input& input : inputs_) {
      for (size_t i = 0; i < out.samples.size(); ++i) {
        // A sample of zeros: the least normal number, so that the logarithm is finite.
        out.samples[i].log_absmax.push_back(
            std::log(std::max(static_cast<double>(input.absmax[i]), 1e-38)));
      }
      out.ranges.push_back(std::move(input.ranges));
    }
    return out;
  }

 private:
  struct Input {
    InputRanges ranges;
    std::vector<float> absmax;  // of each sample
    int64_t rows = 0;           // seen
    int64_t sample = 0;         // that the next row is of, or an earlier one
  };

  void ObserveSamples(const float* x, int64_t rows, int64_t k, Input& input) {
    std::vector<float> largest(static_cast<size_t>(rows));
    pool_.ParallelFor(rows, 8, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        float most = 0;
        for (int64_t c = 0; c < k; ++c) most = std::max(most, std::abs(x[row * k + c]));
        largest[static_cast<size_t>(row)] = most;
      }
    });
    for (int64_t row = 0; row < rows; ++row, ++input.rows) {
      while (input.rows >= states_.first_row(input.sample) + states_.length(input.sample))
        ++input.sample;
      float& most = input.absmax[static_cast<size_t>(input.sample)];
      most = std::max(most, largest[static_cast<size_t>(row)]);
    }
  }

  const engine::HiddenStates& states_;
  bool per_sample_;
  core::ThreadPool& pool_;
  Status status_;
  std::vector<Input> inputs_;
  std::unordered_map<std::string, size_t> index_;
};

// The input of lm_head, which needs no product to be known, and its mean over each sample.
Status ObserveLast(const engine::HiddenStates& states, const std::vector<float>& norm, double eps,
                   core::ThreadPool& pool, Observers& observers,
                   std::vector<std::vector<double>>* means) {
  const int64_t width = states.width();
  std::vector<float> hidden(static_cast<size_t>(kRowsPerPass * width));
  int64_t sample = 0;
  for (int64_t row = 0; row < states.rows(); row += kRowsPerPass) {
    const int64_t rows = std::min(kRowsPerPass, states.rows() - row);
    const std::span<float> span(hidden.data(), static_cast<size_t>(rows * width));
    OCTAVO_RETURN_IF_ERROR(states.Read(row, span));
    kernels::RmsNorm(hidden.data(), norm.data(), rows, width, static_cast<float>(eps),
                     hidden.data(), pool);
    observers.Observe({"lm_head"}, width, hidden.data(), rows);
    for (int64_t i = 0; means != nullptr && i < rows; ++i) {
      while (row + i >= states.first_row(sample) + states.length(sample)) ++sample;
      std::vector<double>& mean = (*means)[static_cast<size_t>(sample)];
      for (int64_t c = 0; c < width; ++c) {
        mean[static_cast<size_t>(c)] +=
            static_cast<double>(hidden[static_cast<size_t>(i * width + c)]) /
            static_cast<double>(states.length(sample));
      }
    }
  }
  return {};
}

}  // namespace

Result<Observation> ObserveModel(const std::string& model_dir,
                                 const std::vector<std::vector<int32_t>>& samples,
                                 const ObserveOptions& options, core::ThreadPool& pool,
                                 core::Progress& progress, const core::CancelToken& cancel) {
  OCTAVO_TRY(const format::ModelFolder folder, format::ModelFolder::Open(model_dir));
  OCTAVO_TRY(const format::QuantizationConfig quantization,
             format::QuantizationConfig::Parse(folder.config()).Context(model_dir));
  OCTAVO_TRY(const model::ModelConfig config,
             model::LoadModelConfig(folder.config(), model_dir).Context(model_dir));
  std::vector<int64_t> lengths;
  std::vector<int32_t> ids;
  for (const std::vector<int32_t>& sample : samples) {
    lengths.push_back(static_cast<int64_t>(sample.size()));
    ids.insert(ids.end(), sample.begin(), sample.end());
  }
  OCTAVO_TRY(engine::HiddenStates states,
             engine::HiddenStates::Create(std::move(lengths), config.hidden_size, options.states));
  engine::BlockStream stream(config, options.compute, model::KvType::kF32, pool);
  OCTAVO_TRY(const tensor::TensorView embedding,
             model::GetFloatTensor(folder, "model.embed_tokens.weight",
                                   {config.vocab_size, config.hidden_size}));
  OCTAVO_RETURN_IF_ERROR(stream.Embed(embedding, ids, states));
  folder.DropPages(embedding);

  Observers observers(states, options.samples, pool);
  const model::Tap tap = [&](int64_t, std::span<const model::Linear* const> linears, const float* x,
                             int64_t rows) {
    std::vector<std::string> modules;
    for (const model::Linear* linear : linears) modules.push_back(linear->name());
    observers.Observe(std::move(modules), linears[0]->k(), x, rows);
  };
  progress.Begin("observing", config.layers * states.rows(), "tokens x blocks");
  format::WeightReader reader(folder);
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    OCTAVO_TRY(const model::BlockWeights block,
               model::LoadBlock(reader, quantization, config, layer, pool).Context(model_dir));
    OCTAVO_RETURN_IF_ERROR(stream.Forward(block, layer, states, &states, tap, cancel,
                                          [&](int64_t rows) { progress.Advance(rows); }));
    OCTAVO_RETURN_IF_ERROR(observers.status());
  }
  OCTAVO_TRY(
      const std::vector<float> norm,
      model::LoadFloats(folder, "model.norm.weight", config.hidden_size, config.hidden_size));
  std::vector<std::vector<double>> means;
  if (options.samples) {
    means.assign(samples.size(), std::vector<double>(static_cast<size_t>(config.hidden_size), 0));
  }
  OCTAVO_RETURN_IF_ERROR(ObserveLast(states, norm, config.rms_norm_eps, pool, observers,
                                     options.samples ? &means : nullptr));
  OCTAVO_RETURN_IF_ERROR(observers.status());
  progress.End();
  Observation out = observers.Take();
  for (size_t i = 0; i < means.size(); ++i)
    out.samples[i].hidden.assign(means[i].begin(), means[i].end());
  return out;
}

}  // namespace octavo::compress
