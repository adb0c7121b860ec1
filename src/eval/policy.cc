// Reading and writing policies.
#include "eval/policy.h"

#include <cmath>

#include <fmt/format.h>

#include "core/bytes.h"
#include "core/hash.h"

namespace octavo::eval {
namespace {

using core::Invalid;
using core::Json;
using core::Result;

constexpr Limit kLimits[] = {Limit::kMax, Limit::kMin, Limit::kMaxDropPoints};

Result<Rule> ParseRule(const Json& table) {
  OCTAVO_RETURN_IF_ERROR(
      core::RefuseUnknownKeys(table, {"metric", "max", "min", "max_drop_points", "confidence"}));
  Rule rule;
  OCTAVO_TRY(rule.metric, core::GetString(table, "metric"));
  int limits = 0;
  for (Limit limit : kLimits) {
    OCTAVO_TRY(const std::optional<double> bound, core::GetOptionalDouble(table, LimitName(limit)));
    if (!bound) continue;
    if (!std::isfinite(*bound)) {
      return Invalid(fmt::format("'{}' is not a finite number", LimitName(limit)));
    }
    rule.limit = limit;
    rule.bound = *bound;
    ++limits;
  }
  if (limits != 1) {
    return Invalid(fmt::format(
        "metric '{}' has {} limits, expected one of max, min, max_drop_points (write two rules for "
        "two limits)",
        core::Printable(rule.metric), limits));
  }
  OCTAVO_TRY(const std::optional<double> confidence, core::GetOptionalDouble(table, "confidence"));
  rule.confidence = confidence.value_or(rule.confidence);
  if (!(rule.confidence >= 0.5 && rule.confidence < 1)) {
    return Invalid(
        fmt::format("confidence is {}, expected a number from 0.5 up to below 1", rule.confidence));
  }
  return rule;
}

}  // namespace

std::string_view LimitName(Limit limit) {
  switch (limit) {
    case Limit::kMax:
      return "max";
    case Limit::kMin:
      return "min";
    case Limit::kMaxDropPoints:
      return "max_drop_points";
  }
  return "";
}

Policy DefaultPolicy() {
  return {{{"perplexity[*].ratio", Limit::kMax, 1.01, 0.95},
           {"divergence[*].mean_kld", Limit::kMax, 0.01, 0.95},
           {"memory.weights_ratio", Limit::kMax, 0.65, 0.95},
           {"speed.decode_ratio", Limit::kMin, 1.0, 0.95}}};
}

Result<Policy> ParsePolicy(const Json& document) {
  OCTAVO_RETURN_IF_ERROR(core::RefuseUnknownKeys(document, {"rule"}));
  const Json* const rules = core::Find(document, "rule");
  if (rules == nullptr || !rules->is_array() || rules->empty()) {
    return Invalid("a policy needs at least one [[rule]] table");
  }
  Policy policy;
  for (const Json& table : *rules) {
    auto rule = ParseRule(table);
    if (!rule.ok()) {
      return std::move(rule).error().Context(fmt::format("rule {}", policy.rules.size() + 1));
    }
    policy.rules.push_back(std::move(rule).value());
  }
  return policy;
}

Result<Policy> LoadPolicy(const std::string& toml_path) {
  OCTAVO_TRY(const Json document, core::ReadTomlFile(toml_path));
  return ParsePolicy(document).Context(toml_path);
}

Json PolicyJson(const Policy& policy) {
  Json rules = Json::array();
  for (const Rule& rule : policy.rules) {
    rules.push_back(Json{{"metric", rule.metric},
                         {std::string(LimitName(rule.limit)), rule.bound},
                         {"confidence", rule.confidence}});
  }
  return Json{{"rule", std::move(rules)}};
}

std::string PolicyDigest(const Policy& policy) {
  return core::Sha256Hex(core::DumpJsonLine(PolicyJson(policy)));
}

}  // namespace octavo::eval
