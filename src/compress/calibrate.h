// calibrate: chooses the samples that a model is observed on, compares them with the traffic, and
// observes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "compress/calibration.h"
#include "compress/prompt_sample.h"
#include "compress/traffic_check.h"
#include "core/progress.h"
#include "core/result.h"
#include "engine/hidden_states.h"

namespace octavo::compress {

struct CalibrateOptions {
  // Either prompt files (JSONL, eval/prompts.h), or a text, which is cut into windows of `context`
  // tokens that do not overlap, from token `skip_tokens` on, without special tokens.
  std::vector<std::string> prompts;
  std::optional<std::string> text;
  int64_t skip_tokens = 0;
  int64_t samples = 256;
  int64_t min_samples = 32;        // fewer usable ones are an Error
  std::optional<int64_t> context;  // nullopt: 2048, or the model's where that is shorter
  bool refuse_bad_prompts = false;
  uint64_t seed = 0;
  int64_t shard = 1;  // of `shards`, from 1: keeps every shards-th sample
  int64_t shards = 1;
  int threads = 0;                       // 0: one for each core
  engine::HiddenStatesOptions states{};  // where hidden states go that do not fit
};

struct CalibrateResult {
  Calibration calibration;
  std::vector<std::string> files;  // that BadPrompt::file counts
  std::vector<BadPrompt> bad;      // prompts that were left out
  // The whole draw, whatever the shard. Windows of a text are prompts here, too.
  std::vector<SampledPrompt> drawn;
};

struct TrafficOptions {
  std::vector<std::string> files;  // JSONL, as the prompts
  int64_t samples = 512;           // drawn from them at most
  double false_alarms = 0.01;
};

// Chooses and tokenizes the samples, with the tokenizer and chat template of `model_dir`. Nothing
// is written. The same files, options and tokenizer give the same samples for any number of threads
// and shards. Errors: bad prompts when they are refused (the first ones by file and line), too few
// samples, a context longer than the model's.
core::Result<CalibrateResult> ChooseSamples(const std::string& model_dir,
                                            const CalibrateOptions& options,
                                            core::Progress& progress,
                                            const core::CancelToken& cancel);

// Runs the model over the samples of `result.calibration` and fills its ranges. 16-bit folders as
// well as quantized ones.
core::Status ObserveRanges(const std::string& model_dir, const CalibrateOptions& options,
                           CalibrateResult& result, core::Progress& progress,
                           const core::CancelToken& cancel);

// Compares the whole draw with a sample of the traffic, by text alone or, with `run_model`, by what
// the model computes from it too, and puts the report into the summary. Traffic of any length is
// compared; the model reads the first `context` tokens of it. Fewer than options.min_samples
// prompts on either side are an Error.
core::Result<TrafficReport> CheckTraffic(const std::string& model_dir,
                                         const CalibrateOptions& options,
                                         const TrafficOptions& traffic, bool run_model,
                                         CalibrateResult& result, core::Progress& progress,
                                         const core::CancelToken& cancel);

// "a.jsonl: line 3: REASON"
std::string DescribeBadPrompt(const std::vector<std::string>& files, const BadPrompt& bad);

}  // namespace octavo::compress
