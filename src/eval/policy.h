// A policy: what an evaluation must show before a candidate may replace its baseline.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/json.h"
#include "core/result.h"

namespace octavo::eval {

enum class Limit { kMax, kMin, kMaxDropPoints };
std::string_view LimitName(Limit limit);  // as policy files spell it

struct Rule {
  std::string metric;  // a path into the evaluation, as metric.h reads it
  Limit limit = Limit::kMax;
  double bound = 0;
  double confidence = 0.95;  // of the two-sided interval whose nearer end must keep the limit
};

struct Policy {
  std::vector<Rule> rules;  // at least one
};

// What `gate` asks for without --policy: a perplexity at most 1 % above the baseline's, a mean
// divergence of at most 0.01 nats (four times what weight-only INT8 costs SmolLM2, the most
// sensitive model we measure), weights at most 0.65 of the baseline's bytes, and decoding no slower
// than the baseline.
Policy DefaultPolicy();

// From the value of a TOML (or JSON) document: [[rule]] tables with `metric`, one of `max`, `min`,
// `max_drop_points`, and optionally `confidence` in [0.5, 1). Errors name the rule.
core::Result<Policy> ParsePolicy(const core::Json& document);
core::Result<Policy> LoadPolicy(const std::string& toml_path);

// The normal form, which ParsePolicy reads back, and its SHA-256: policies that ask for the same
// have the same digest.
core::Json PolicyJson(const Policy& policy);
std::string PolicyDigest(const Policy& policy);

}  // namespace octavo::eval
