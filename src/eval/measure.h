// Speed and memory of a candidate beside its baseline, on this machine.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "core/json.h"
#include "core/progress.h"
#include "core/result.h"
#include "engine/engine.h"

namespace octavo::eval {

// {weights_bytes, peak_rss_bytes}: what stays resident of weights, and the peak of the whole
// process (VmHWM, mapped pages included) while it loads this model alone, reads a prompt and
// decodes a few tokens. No other model may be loaded at the time. The peak is null where the kernel
// does not let a process reset its high-water mark (/proc/self/clear_refs).
core::Result<core::Json> MeasureMemory(const std::string& model_dir,
                                       const engine::EngineOptions& options);

// {baseline: {prefill_tokens_per_s, decode_tokens_per_s}, candidate: {...}, prefill_ratio,
// prefill_ratio_ci95, decode_ratio, decode_ratio_ci95, rounds}: a prompt of up to 256 tokens in one
// pass, then up to 32 tokens one by one behind it. The models take turns, so that both meet the
// same noise. Tokens per second are medians over the rounds; a ratio (candidate over baseline) is
// the geometric mean of the rounds' ratios, with a Student t interval of its logarithm. Without a
// baseline its part and the ratios are null. When cancelled, an Interrupted Error.
core::Result<core::Json> MeasureSpeed(engine::Engine* baseline, engine::Engine& candidate,
                                      core::Progress& progress, const core::CancelToken& cancel);

}  // namespace octavo::eval
