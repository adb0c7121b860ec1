// An evaluation and a gate's judgement as tables for people.
#pragma once

#include <string>

#include "core/json.h"

namespace octavo::cli {

// What the two models are called, and what is known of them beside the evaluation.
struct EvaluationLabels {
  std::string baseline = "baseline";
  std::string candidate = "candidate";
  int64_t baseline_disk_bytes = 0;  // of the weights; 0: not known
  int64_t candidate_disk_bytes = 0;
};

// The two models side by side: size, perplexity, divergence, speed, memory. What was not measured
// is left out.
std::string EvaluationTable(const core::Json& evaluation, const EvaluationLabels& labels = {});
// A row for each rule: verdict, metric, value with its interval, limit.
std::string GateTable(const core::Json& gate_report);

}  // namespace octavo::cli
