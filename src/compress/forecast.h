// What a run of quantize will take, told before it starts and refused where it cannot fit.
#pragma once

#include <cstdint>
#include <string>

#include "compress/layer_plan.h"
#include "compress/recipe.h"
#include "core/result.h"
#include "model/config.h"

namespace octavo::compress {

struct Forecast {
  int64_t memory_bytes = 0;  // peak, mapped pages of the largest tensor included
  int64_t disk_bytes = 0;    // journal, hidden states and artifact together, at their most
  double multiply_adds = 0;  // of the passes over the calibration
};

// Of a run block by block; `tokens`: of the calibration, 0 without one.
Forecast ForecastBlocks(const model::ModelConfig& config, const LayerPlan& plan,
                        const Recipe& recipe, int64_t tokens, int64_t max_states_bytes,
                        int threads);
// "needs 310 MB of memory, 1.2 GB of disk"
std::string Describe(const Forecast& forecast);
// An Exhausted error that says what there is and what to change, where memory that is available or
// space in `folder` is less.
core::Status CheckForecast(const Forecast& forecast, const std::string& folder);

}  // namespace octavo::compress
