// The engine: a model, its KV memory and its threads; one call runs any mix of prompts and single
// tokens of many sequences through the one forward pass.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/progress.h"
#include "core/result.h"
#include "model/config.h"
#include "model/kv_cache.h"
#include "model/model.h"
#include "text/tokenizer.h"

namespace octavo::core {
class ThreadPool;
}

namespace octavo::engine {

using text::TokenId;

struct EngineOptions {
  int threads = 0;  // 0: one for each core
  model::Compute compute = model::Compute::kF32;
  model::KvType kv = model::KvType::kF32;
  int64_t kv_tokens = 8192;  // positions of KV memory, shared by all sequences
};

// One sequence's place in the KV memory. Move-only; gives its blocks back when destroyed, which
// must be before the engine.
class Sequence {
 public:
  Sequence(Sequence&&) noexcept = default;
  Sequence& operator=(Sequence&&) noexcept = default;
  int64_t length() const { return kv_.length(); }  // positions filled so far

 private:
  friend class Engine;
  explicit Sequence(model::KvSequence kv) : kv_(std::move(kv)) {}
  model::KvSequence kv_;
};

// New tokens of one sequence. Logits come back for those from index `first_logits_row` on (0: all
// of them; tokens.size(): none; tokens.size() - 1: the last).
struct Step {
  Sequence* sequence;
  std::span<const TokenId> tokens;
  int64_t first_logits_row;
};

class Engine {
 public:
  // Loads a model folder; the tokenizer is loaded when the folder has one. Errors name file, tensor
  // or field.
  static core::Result<std::unique_ptr<Engine>> Load(const std::string& model_dir,
                                                    const EngineOptions& options);
  ~Engine();

  const model::ModelConfig& config() const;
  model::Model& model();
  const model::Model& model() const;
  const EngineOptions& options() const;
  int threads() const;
  // The engine's threads, for work between two calls of Forward.
  core::ThreadPool& pool();
  // nullptr when the folder has no tokenizer.json.
  const text::Tokenizer* tokenizer() const;
  // Positions of KV memory that no sequence holds.
  int64_t free_kv_tokens() const;
  // Positions of KV memory that a sequence of `tokens` takes at most at a time: whole blocks, and
  // no more than a model sees whose layers all have windows.
  int64_t MostKvTokens(int64_t tokens) const;
  // K and V of one position in all layers.
  int64_t kv_bytes_per_token() const;

  Sequence NewSequence();
  // Appends each step's tokens to its sequence and returns the asked-for rows of logits, step after
  // step: [rows, V] f32, row-major, valid until the next call. Token ids outside [0, V), a sequence
  // past the model's context, or too little KV memory is an Error, and then no sequence has
  // changed. The logits of a sequence do not depend on what else is in the call, on how its tokens
  // are cut into calls, or on the number of threads. Not thread-safe: one caller at a time.
  core::Result<std::span<const float>> Forward(std::span<const Step> steps);

 private:
  struct State;
  explicit Engine(std::unique_ptr<State> state);
  core::Status CheckSteps(std::span<const Step> steps) const;
  // Runs what `state_` has gathered and writes the logits of its picked rows to `out`; returns the
  // end of what it wrote.
  float* RunPass(float* out);
  std::unique_ptr<State> state_;
};

}  // namespace octavo::engine
