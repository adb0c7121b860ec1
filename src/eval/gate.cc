// Verdicts from measurements and limits.
#include "eval/gate.h"

#include <fmt/format.h>

#include "core/bytes.h"
#include "eval/document.h"

namespace octavo::eval {
namespace {

using core::Invalid;
using core::Json;
using core::Result;

Verdict Judge(const Rule& rule, const Measurement& measured) {
  if (measured.sampled && !measured.interval) return Verdict::kUndecided;
  const stats::Interval range =
      measured.interval.value_or(stats::Interval{measured.value, measured.value});
  const bool at_most = rule.limit != Limit::kMin;
  const double best = at_most ? range.lower : range.upper;
  const double worst = at_most ? range.upper : range.lower;
  const auto keeps = [&](double x) { return at_most ? x <= rule.bound : x >= rule.bound; };
  if (keeps(worst)) return Verdict::kPass;
  return keeps(best) ? Verdict::kUndecided : Verdict::kFail;
}

// Refuses a rule about a part of the evaluation that `measured` says is not there.
template <typename Measured>
core::Status RefuseLeftOut(const Policy& policy, const Measured& measured) {
  for (const Rule& rule : policy.rules) {
    for (const std::string_view part : {"speed", "memory"}) {
      if (!rule.metric.starts_with(std::string(part) + ".") || measured(part)) continue;
      return Invalid(
          fmt::format("rule '{}': {} was left out of the evaluation; take '{} = false' out of the "
                      "suite's [measure] (or --no-{} off the command), or the rule out of the "
                      "policy",
                      core::Printable(rule.metric), part, part, part));
    }
  }
  return {};
}

core::Status CheckDocument(const Json& evaluation) {
  OCTAVO_TRY(const int64_t schema, core::GetInt(evaluation, "schema"));
  if (schema != kEvalSchema) {
    return Invalid(fmt::format(
        "the evaluation has schema {}, this octavo reads {}: evaluate again with this version",
        schema, kEvalSchema));
  }
  OCTAVO_TRY(const bool complete, core::GetBool(evaluation, "complete"));
  if (!complete) {
    return Invalid("the evaluation is not complete (it was interrupted): run octavo eval again");
  }
  return {};
}

}  // namespace

std::string_view VerdictName(Verdict verdict) {
  switch (verdict) {
    case Verdict::kPass:
      return "pass";
    case Verdict::kFail:
      return "fail";
    case Verdict::kUndecided:
      return "undecided";
  }
  return "";
}

core::Status CheckSuiteMeasures(const Suite& suite, const Policy& policy) {
  return RefuseLeftOut(
      policy, [&](std::string_view part) { return part == "speed" ? suite.speed : suite.memory; });
}

Result<GateReport> CheckGate(const Json& evaluation, const Policy& policy) {
  OCTAVO_RETURN_IF_ERROR(CheckDocument(evaluation));
  GateReport report;
  OCTAVO_TRY(report.candidate_digest, core::GetString(evaluation, "candidate_digest"));
  OCTAVO_TRY(const auto baseline, core::GetOptionalString(evaluation, "baseline_digest"));
  if (!baseline) {
    return Invalid(
        "the evaluation has no baseline to compare with: run octavo eval with --baseline");
  }
  report.baseline_digest = *baseline;
  OCTAVO_RETURN_IF_ERROR(RefuseLeftOut(policy, [&](std::string_view part) {
    return !evaluation.contains(part) || core::Find(evaluation, part) != nullptr;
  }));
  report.policy_digest = PolicyDigest(policy);
  report.verdict = Verdict::kPass;
  for (const Rule& rule : policy.rules) {
    OCTAVO_TRY(std::vector<Measurement> measurements,
               rule.limit == Limit::kMaxDropPoints
                   ? MeasureDrop(evaluation, rule.metric, rule.confidence)
                   : Measure(evaluation, rule.metric, rule.confidence));
    for (Measurement& measured : measurements) {
      const Verdict verdict = Judge(rule, measured);
      if (verdict == Verdict::kFail) report.verdict = Verdict::kFail;
      if (verdict == Verdict::kUndecided && report.verdict == Verdict::kPass) {
        report.verdict = Verdict::kUndecided;
      }
      report.outcomes.push_back({rule, std::move(measured), verdict});
    }
  }
  return report;
}

Json GateReportJson(const GateReport& report) {
  Json rules = Json::array();
  for (const RuleOutcome& outcome : report.outcomes) {
    const auto& interval = outcome.measured.interval;
    rules.push_back(
        Json{{"metric", outcome.measured.metric},
             {"value", outcome.measured.value},
             {"interval", interval ? Json::array({interval->lower, interval->upper}) : Json()},
             {"confidence", outcome.rule.confidence},
             {std::string(LimitName(outcome.rule.limit)), outcome.rule.bound},
             {"verdict", VerdictName(outcome.verdict)}});
  }
  Json document = NewDocument();
  document["verdict"] = VerdictName(report.verdict);
  document["candidate_digest"] = report.candidate_digest;
  document["baseline_digest"] = report.baseline_digest;
  document["policy_digest"] = report.policy_digest;
  document["rules"] = std::move(rules);
  return document;
}

std::string Describe(const RuleOutcome& outcome) {
  const auto& interval = outcome.measured.interval;
  const std::string range =
      interval ? fmt::format(" [{:.5g}, {:.5g}]", interval->lower, interval->upper)
      : outcome.measured.sampled ? std::string(" [no interval: too little data]")
                                 : std::string();
  return fmt::format("{:<10} {:<36} {:.5g}{}   {} {:.5g}", VerdictName(outcome.verdict),
                     outcome.measured.metric, outcome.measured.value, range,
                     LimitName(outcome.rule.limit), outcome.rule.bound);
}

}  // namespace octavo::eval
