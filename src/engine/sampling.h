// Choosing the next token from a row of logits.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/random.h"
#include "core/result.h"
#include "text/tokenizer.h"

namespace octavo::engine {

// The meaning and the order (temperature, top-k, top-p) that OpenAI and Hugging Face users expect.
struct SamplingOptions {
  double temperature = 0;  // 0: greedy; at most 2
  double top_p = 1;        // in (0, 1]
  int64_t top_k = 0;       // 0: all
  uint64_t seed = 0;
  int64_t max_tokens = 256;
  bool ignore_eos = false;
  std::vector<std::string> stop;  // the text ends before the first of these
};

// Names the first field that is out of its range.
core::Status Validate(const SamplingOptions& options);

// Chooses one id. Greedy takes the lowest id among equal maxima and draws nothing from `random`.
// Not thread-safe.
class Sampler {
 public:
  explicit Sampler(const SamplingOptions& options);
  text::TokenId Sample(std::span<const float> logits);

 private:
  // Of `count` ids, with weights that sum to `total`, by their weights.
  template <typename IdOf>
  text::TokenId Draw(size_t count, double total, const IdOf& id_of);
  // Puts into `kept_` what top_k and top_p leave, the likeliest first; returns the sum of their
  // weights. `total`: that of all.
  double KeepLikeliest(double total);

  SamplingOptions options_;
  core::Random random_;
  std::vector<double> weights_;  // of each id: exp((logit - highest) / temperature)
  std::vector<text::TokenId> kept_;
};

// log softmax(logits)[id], in f64.
double LogProbability(std::span<const float> logits, text::TokenId id);

}  // namespace octavo::engine
