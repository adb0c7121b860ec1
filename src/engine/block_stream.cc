#include "engine/block_stream.h"

#include <algorithm>
#include <memory>

#include "kernels/elementwise.h"
#include "model/projection.h"
#include "model/rope.h"

namespace octavo::engine {
namespace {

using model::kRowsPerPass;

int64_t Longest(const HiddenStates& states) {
  int64_t longest = 0;
  for (int64_t i = 0; i < states.sequences(); ++i) longest = std::max(longest, states.length(i));
  return longest;
}

model::ModelConfig OneLayer(const model::ModelConfig& config, int64_t window) {
  model::ModelConfig out = config;
  out.layers = 1;
  out.windows = {window};
  return out;
}

// What is read is the folder's mapped tensor.
void EmbedRows(const tensor::TensorView& embedding, std::span<const int32_t> ids, float* out,
               core::ThreadPool& pool) {
  const auto width = static_cast<size_t>(embedding.shape[1]);
  const size_t row_bytes = width * tensor::DTypeSize(embedding.dtype);
  pool.ParallelFor(static_cast<int64_t>(ids.size()), 16, [&](int64_t begin, int64_t end) {
    for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i) {
      const auto id = static_cast<size_t>(ids[i]);
      tensor::ConvertToFloat(embedding.dtype, embedding.bytes.subspan(id * row_bytes, row_bytes),
                             std::span(out + i * width, width));
    }
  });
}

}  // namespace

BlockStream::BlockStream(const model::ModelConfig& config, model::Compute compute, model::KvType kv,
                         core::ThreadPool& pool)
    : config_(config),
      one_layer_(OneLayer(config, 0)),
      compute_(compute),
      pool_(pool),
      rope_frequencies_(model::RopeFrequencies(config)),
      kv_type_(kv) {}

core::Status BlockStream::Embed(const tensor::TensorView& embedding, std::span<const int32_t> ids,
                                HiddenStates& states) {
  OCTAVO_CHECK(static_cast<int64_t>(ids.size()) == states.rows() &&
               embedding.shape == tensor::Shape({config_.vocab_size, config_.hidden_size}));
  for (int64_t row = 0; row < states.rows(); row += kRowsPerPass) {
    const int64_t rows = std::min(kRowsPerPass, states.rows() - row);
    float* hidden = hidden_.Reserve(rows * config_.hidden_size);
    EmbedRows(embedding, ids.subspan(static_cast<size_t>(row), static_cast<size_t>(rows)), hidden,
              pool_);
    OCTAVO_RETURN_IF_ERROR(
        states.Write(row, std::span(hidden, static_cast<size_t>(rows * config_.hidden_size))));
  }
  return {};
}

core::Status BlockStream::Forward(const model::BlockWeights& weights, int64_t layer,
                                  const HiddenStates& in, HiddenStates* out, const model::Tap& tap,
                                  const core::CancelToken& cancel,
                                  const std::function<void(int64_t rows)>& advance) {
  OCTAVO_CHECK((out == nullptr || in.rows() == out->rows()) && in.width() == config_.hidden_size);
  const auto index = static_cast<size_t>(layer);
  one_layer_.windows[0] = index < config_.windows.size() ? config_.windows[index] : 0;
  // A pass begins with the rest of a sequence and may hold many short ones, each in blocks of its
  // own.
  const int64_t capacity = Longest(in) + kRowsPerPass * model::kKvBlockPositions;
  model::KvPool kv(OneLayer(config_, 0), kv_type_, capacity);
  const model::Tap with_layer =
      tap ? model::Tap([&](int64_t, std::span<const model::Linear* const> linears,
                           const float* input, int64_t rows) { tap(layer, linears, input, rows); })
          : model::Tap();
  const model::ForwardContext context{one_layer_, compute_, pool_, with_layer, profile_};

  std::vector<std::unique_ptr<model::KvSequence>> sequences;
  int64_t sequence = 0;
  int64_t done = 0;  // rows of `sequence` that earlier passes took
  for (int64_t row = 0; row < in.rows();) {
    OCTAVO_RETURN_IF_ERROR(cancel.Check());
    // The one that goes on, if there is one.
    if (done == 0) sequences.clear();
    if (sequences.size() > 1) sequences.erase(sequences.begin(), sequences.end() - 1);
    segments_.clear();
    int64_t rows = 0;
    while (rows < kRowsPerPass && sequence < in.sequences()) {
      const int64_t take = std::min(kRowsPerPass - rows, in.length(sequence) - done);
      if (take > 0) {
        if (done == 0) sequences.push_back(std::make_unique<model::KvSequence>(&kv));
        segments_.push_back({sequences.back().get(), rows, take, done});
        sequences.back()->Extend(take);
      }
      rows += take;
      done += take;
      if (done < in.length(sequence)) break;
      ++sequence;
      done = 0;
    }
    if (rows == 0) break;
    float* hidden = hidden_.Reserve(rows * config_.hidden_size);
    const std::span<float> states(hidden, static_cast<size_t>(rows * config_.hidden_size));
    OCTAVO_RETURN_IF_ERROR(in.Read(row, states));
    batch_.Assign(one_layer_, rope_frequencies_, segments_, pool_);
    model::ForwardBlock(context, weights, 0, batch_, kv, {}, scratch_, hidden);
    if (out != nullptr) OCTAVO_RETURN_IF_ERROR(out->Write(row, states));
    row += rows;
    if (advance) advance(rows);
  }
  return {};
}

void BlockStream::Head(const model::Linear& head, std::span<const float> norm, const float* hidden,
                       int64_t rows, float* logits, const model::Tap& tap) {
  const kernels::RowNorm row_norm = {norm.data(), static_cast<float>(config_.rms_norm_eps)};
  const model::ForwardContext context{one_layer_, compute_, pool_, tap, profile_};
  model::Project(context, -1, {hidden, rows, row_norm}, {{&head, logits}}, scratch_.projection);
}

}  // namespace octavo::engine
