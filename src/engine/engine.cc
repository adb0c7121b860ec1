#include "engine/engine.h"

#include <algorithm>
#include <optional>
#include <unordered_set>

#include "core/file.h"
#include "core/thread_pool.h"
#include "format/model_folder.h"
#include "kernels/dispatch.h"
#include "kernels/scratch.h"

namespace octavo::engine {
namespace {

using model::kRowsPerPass;

}  // namespace

struct Engine::State {
  EngineOptions options;
  core::ThreadPool pool;
  std::optional<text::Tokenizer> tokenizer;
  std::unique_ptr<model::Model> model;
  std::unique_ptr<model::KvPool> kv;
  model::Batch batch;
  std::vector<int32_t> ids;
  std::vector<model::BatchSegment> segments;
  std::vector<int64_t> picked_rows;  // of the pass, those whose logits are asked for
  kernels::FloatBuffer hidden;
  kernels::FloatBuffer picked;  // their hidden rows
  kernels::FloatBuffer logits;

  explicit State(const EngineOptions& o) : options(o), pool(o.threads) {}
};

Engine::Engine(std::unique_ptr<State> state) : state_(std::move(state)) {}
Engine::~Engine() = default;

core::Result<std::unique_ptr<Engine>> Engine::Load(const std::string& model_dir,
                                                   const EngineOptions& options) {
  OCTAVO_RETURN_IF_ERROR(kernels::CheckIsaOverride());
  if (options.kv_tokens < 1)
    return core::Usage("KV memory for " + std::to_string(options.kv_tokens) + " positions");
  OCTAVO_TRY(const format::ModelFolder folder, format::ModelFolder::Open(model_dir));
  auto state = std::make_unique<State>(options);
  OCTAVO_TRY(state->model, model::Model::Load(folder, {options.compute}, state->pool));
  const model::ModelConfig& config = state->model->config();
  if (core::FileExists(core::JoinPath(model_dir, "tokenizer.json"))) {
    OCTAVO_TRY(state->tokenizer, text::Tokenizer::Load(model_dir, config.vocab_size));
  }
  state->kv = std::make_unique<model::KvPool>(config, options.kv, options.kv_tokens);
  return std::unique_ptr<Engine>(new Engine(std::move(state)));
}

const model::ModelConfig& Engine::config() const {
  return state_->model->config();
}
model::Model& Engine::model() {
  return *state_->model;
}
const model::Model& Engine::model() const {
  return *state_->model;
}
const EngineOptions& Engine::options() const {
  return state_->options;
}
int Engine::threads() const {
  return state_->pool.size();
}
core::ThreadPool& Engine::pool() {
  return state_->pool;
}
const text::Tokenizer* Engine::tokenizer() const {
  return state_->tokenizer ? &*state_->tokenizer : nullptr;
}
int64_t Engine::free_kv_tokens() const {
  return state_->kv->free_blocks() * model::kKvBlockPositions;
}

int64_t Engine::kv_bytes_per_token() const {
  return state_->kv->block_bytes() / model::kKvBlockPositions;
}

int64_t Engine::MostKvTokens(int64_t tokens) const {
  return state_->kv->MostBlocks(tokens, kRowsPerPass) * model::kKvBlockPositions;
}

Sequence Engine::NewSequence() {
  return Sequence(model::KvSequence(state_->kv.get()));
}

core::Status Engine::CheckSteps(std::span<const Step> steps) const {
  const model::ModelConfig& c = config();
  int64_t blocks = 0;
  std::unordered_set<const Sequence*> seen;
  for (const Step& step : steps) {
    const auto count = static_cast<int64_t>(step.tokens.size());
    OCTAVO_CHECK(step.first_logits_row >= 0 && step.first_logits_row <= count &&
                 seen.insert(step.sequence).second);
    for (const TokenId id : step.tokens) {
      if (id < 0 || id >= c.vocab_size) {
        return core::Invalid("token id " + std::to_string(id) + " is outside the vocabulary of " +
                             std::to_string(c.vocab_size));
      }
    }
    if (step.sequence->length() + count > c.context) {
      return core::Invalid("a sequence of " + std::to_string(step.sequence->length() + count) +
                           " tokens is longer than the model's context of " +
                           std::to_string(c.context));
    }
    blocks += step.sequence->kv_.BlocksFor(count, kRowsPerPass);
  }
  if (blocks > state_->kv->free_blocks()) {
    return core::Exhausted("KV memory for " + std::to_string(blocks * model::kKvBlockPositions) +
                           " more positions is needed, " + std::to_string(free_kv_tokens()) +
                           " are free");
  }
  return {};
}

core::Result<std::span<const float>> Engine::Forward(std::span<const Step> steps) {
  OCTAVO_RETURN_IF_ERROR(CheckSteps(steps));
  int64_t logits_rows = 0;
  for (const Step& step : steps)
    logits_rows += static_cast<int64_t>(step.tokens.size()) - step.first_logits_row;
  float* logits = state_->logits.Reserve(logits_rows * config().vocab_size);
  float* out = logits;

  // Cuts the steps into passes; a long prompt spans several, which changes no result.
  size_t step = 0;
  int64_t done = 0;  // tokens of steps[step] that earlier passes took
  while (step < steps.size()) {
    state_->ids.clear();
    state_->segments.clear();
    state_->picked_rows.clear();
    for (int64_t room = kRowsPerPass; room > 0 && step < steps.size();) {
      const Step& s = steps[step];
      const int64_t take = std::min(room, static_cast<int64_t>(s.tokens.size()) - done);
      const auto first_row = static_cast<int64_t>(state_->ids.size());
      if (take > 0) {
        state_->segments.push_back({&s.sequence->kv_, first_row, take, s.sequence->length()});
        s.sequence->kv_.Extend(take);
        state_->ids.insert(state_->ids.end(), s.tokens.begin() + done,
                           s.tokens.begin() + done + take);
      }
      for (int64_t i = std::max(done, s.first_logits_row); i < done + take; ++i)
        state_->picked_rows.push_back(first_row + i - done);
      room -= take;
      done += take;
      if (done == static_cast<int64_t>(s.tokens.size())) {
        ++step;
        done = 0;
      }
    }
    out = RunPass(out);
  }
  return std::span<const float>(logits, static_cast<size_t>(logits_rows * config().vocab_size));
}

float* Engine::RunPass(float* out) {
  if (state_->ids.empty()) return out;
  model::Model& m = *state_->model;
  const int64_t width = config().hidden_size;
  float* hidden = state_->hidden.Reserve(static_cast<int64_t>(state_->ids.size()) * width);
  m.Prepare(state_->segments, state_->batch);
  m.Embed(state_->ids, hidden);
  for (int64_t i = 0; i < config().layers; ++i) m.Block(i, state_->batch, *state_->kv, hidden);

  const auto rows = static_cast<int64_t>(state_->picked_rows.size());
  if (rows == 0) return out;
  float* picked = state_->picked.Reserve(rows * width);
  for (int64_t i = 0; i < rows; ++i) {
    std::copy_n(hidden + state_->picked_rows[static_cast<size_t>(i)] * width, width,
                picked + i * width);
  }
  m.Head(picked, rows, out);
  return out + rows * config().vocab_size;
}

}  // namespace octavo::engine
