// Does the calibration match the traffic? Two samples of prompts compared by several tests at one
// false-alarm rate, with the differences said in words.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "compress/observer.h"
#include "compress/prompt_sample.h"
#include "core/json.h"
#include "core/thread_pool.h"
#include "text/tokenizer.h"

namespace octavo::compress {

struct TrafficCheckOptions {
  double false_alarms = 0.01;  // the chance of a warning when nothing differs, over all tests
  uint64_t seed = 0;
  // The calibration is windows of a text: their length and form are nobody's choice and not
  // compared.
  bool windows = false;
};

// What a model computed from one prompt, where one was run; the same sizes for all prompts.
struct PromptActivations {
  std::vector<double> log_absmax;  // of the input of each group of layers, natural logarithm
  std::vector<float> hidden;       // mean over the positions of the last hidden state
};

// One side: `activations` is empty or has one entry a prompt.
struct PromptGroup {
  const std::vector<SampledPrompt>& prompts;
  const std::vector<PromptActivations>& activations;
  // Of the inputs that log_absmax counts.
  std::vector<InputRanges> ranges = {};
};

struct TrafficFinding {
  std::string test;  // "length", "tokens", "script", "code", "characters", "form", ...
  double statistic = 0;
  double p = 1;           // of this test alone
  double adjusted_p = 1;  // corrected for all tests
  bool differs = false;   // adjusted_p is at most the false-alarm rate
  std::string words;      // numbers of both sides, nothing of what prompts say
  std::string quotes;     // words and examples from the prompts, for the terminal only
};

struct TrafficReport {
  int64_t calibration_prompts = 0;
  int64_t traffic_prompts = 0;
  int64_t permutations = 0;
  double false_alarms = 0.01;
  std::vector<TrafficFinding> findings;  // one a test, in a fixed order

  bool differs() const;
  // Without quotes.
  core::Json ToJson() const;
};

// The unit of all tests is the prompt: whether it belongs to the calibration or to the traffic is
// what is permuted (stats/permutation.h), so the false-alarm rate holds for samples of any size,
// provided that prompts are independent of each other. Tests: KS on the number of tokens, MMD on
// token profiles, chi-square on shares of scripts, of code, of characters and of forms; with
// activations, KS on each input's largest magnitude in a prompt and energy distance of the mean
// last hidden states. Both sides have a prompt or more.
TrafficReport CompareWithTraffic(const PromptGroup& calibration, const PromptGroup& traffic,
                                 const TrafficCheckOptions& options,
                                 const text::Tokenizer& tokenizer, core::ThreadPool& pool);

}  // namespace octavo::compress
