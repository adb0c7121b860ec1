// The gate: a non-inferiority test of a candidate against its baseline, rule by rule.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/json.h"
#include "core/result.h"
#include "eval/metric.h"
#include "eval/policy.h"
#include "eval/suite.h"

namespace octavo::eval {

// kPass: the whole interval keeps the limit. kFail: the whole interval breaks it. kUndecided: the
// limit lies inside the interval, or a sampled figure has none: not enough data to tell, which is
// never a pass.
enum class Verdict { kPass, kFail, kUndecided };
std::string_view VerdictName(Verdict verdict);  // "pass", "fail", "undecided"

struct RuleOutcome {
  Rule rule;
  Measurement measured;
  Verdict verdict;
};

struct GateReport {
  Verdict verdict;  // fail if any rule fails, else undecided if any is, else pass
  std::string candidate_digest;
  std::string baseline_digest;
  std::string policy_digest;
  std::vector<RuleOutcome> outcomes;  // in the policy's order, one for each name that [*] met
};

// Names the first rule about a measurement that the suite leaves out, so that an evaluation that no
// gate can judge need not run.
core::Status CheckSuiteMeasures(const Suite& suite, const Policy& policy);

// Judges an evaluation document. One that is not complete, has another schema or no digests, or
// lacks what a rule asks for is refused with an Error: a gate that cannot see must not open.
core::Result<GateReport> CheckGate(const core::Json& evaluation, const Policy& policy);

core::Json GateReportJson(const GateReport& report);
// One line for a person: "pass       perplexity[wikitext2].ratio   1.0052 [1.0031, 1.0073]
// max 1.01".
std::string Describe(const RuleOutcome& outcome);

}  // namespace octavo::eval
