// The gate as a table: what an evaluation says, what a rule asks, and the verdict or the refusal.
#include "eval/gate.h"

#include <gtest/gtest.h>

namespace octavo::eval {
namespace {

constexpr const char* kEvaluation = R"({
  "schema": 1, "octavo_version": "0.1.0", "complete": true,
  "candidate_digest": "cccc", "baseline_digest": "bbbb", "suite_digest": "ssss",
  "perplexity": [
    {"name": "wiki", "tokens": 3072, "windows": 12, "baseline": 20.0, "candidate": 20.1,
     "ratio": 1.005, "ratio_ci95": [1.002, 1.008]},
    {"name": "brown", "tokens": 3072, "windows": 12, "baseline": 30.0, "candidate": 30.3,
     "ratio": 1.01, "ratio_ci95": [1.006, 1.014]},
    {"name": "one window", "tokens": 256, "windows": 1, "baseline": 30.0, "candidate": 30.3,
     "ratio": 1.001, "ratio_ci95": null}],
  "divergence": [
    {"name": "wiki", "tokens": 3072, "windows": 12, "mean_kld": 0.0025,
     "mean_kld_ci95": [0.0022, 0.0028], "p99_kld": 0.03, "p999_kld": 0.1, "max_kld": 0.4, "same_top": 0.97},
    {"name": "bare", "mean_kld": 0.0025}],
  "tasks": [
    {"name": "piqa", "n": 919, "baseline": {"acc": 0.657, "acc_norm": 0.656},
     "candidate": {"acc": 0.652, "acc_norm": 0.651}, "difference_ci95": [-0.011, 0.001], "mcnemar_p": 0.2}],
  "generations": [],
  "speed": {"baseline": {"prefill_tokens_per_s": 400, "decode_tokens_per_s": 80},
            "candidate": {"prefill_tokens_per_s": 500, "decode_tokens_per_s": 120},
            "decode_ratio": 1.49, "decode_ratio_ci95": [1.35, 1.65]},
  "memory": {"baseline": {"weights_bytes": 1000, "peak_rss_bytes": null},
             "candidate": {"weights_bytes": 600, "peak_rss_bytes": 700}}
})";

core::Json Evaluation() {
  return core::ParseJson(kEvaluation).value();
}

Rule MakeRule(std::string metric, Limit limit, double bound, double confidence = 0.95) {
  return {std::move(metric), limit, bound, confidence};
}

struct VerdictCase {
  Rule rule;
  Verdict verdict;
};

TEST(Gate, DecidesByTheNearerEndOfTheInterval) {
  for (const VerdictCase& c : {
           // Upper limits on a loss: all of the interval below, around, all above.
           VerdictCase{MakeRule("perplexity[wiki].ratio", Limit::kMax, 1.01), Verdict::kPass},
           VerdictCase{MakeRule("perplexity[wiki].ratio", Limit::kMax, 1.008), Verdict::kPass},
           VerdictCase{MakeRule("perplexity[wiki].ratio", Limit::kMax, 1.0079),
                       Verdict::kUndecided},
           VerdictCase{MakeRule("perplexity[wiki].ratio", Limit::kMax, 1.004), Verdict::kUndecided},
           VerdictCase{MakeRule("perplexity[wiki].ratio", Limit::kMax, 1.0019), Verdict::kFail},
           VerdictCase{MakeRule("divergence[wiki].mean_kld", Limit::kMax, 0.003), Verdict::kPass},
           VerdictCase{MakeRule("divergence[wiki].mean_kld", Limit::kMax, 0.002), Verdict::kFail},
           // Lower limits on a gain.
           VerdictCase{MakeRule("speed.decode_ratio", Limit::kMin, 1.2), Verdict::kPass},
           VerdictCase{MakeRule("speed.decode_ratio", Limit::kMin, 1.4), Verdict::kUndecided},
           VerdictCase{MakeRule("speed.decode_ratio", Limit::kMin, 1.7), Verdict::kFail},
           // Counted, not estimated: the value decides.
           VerdictCase{MakeRule("memory.weights_ratio", Limit::kMax, 0.6), Verdict::kPass},
           VerdictCase{MakeRule("memory.weights_ratio", Limit::kMax, 0.59), Verdict::kFail},
           VerdictCase{MakeRule("memory.candidate.peak_rss_bytes", Limit::kMax, 700),
                       Verdict::kPass},
           VerdictCase{MakeRule("speed.prefill_ratio", Limit::kMin, 1.25), Verdict::kPass},
           VerdictCase{MakeRule("divergence[wiki].p99_kld", Limit::kMax, 0.02), Verdict::kFail},
           VerdictCase{MakeRule("divergence[wiki].same_top", Limit::kMin, 0.96), Verdict::kPass},
           // Estimates without an interval never pass, however good they look.
           VerdictCase{MakeRule("perplexity[one window].ratio", Limit::kMax, 1.5),
                       Verdict::kUndecided},
           VerdictCase{MakeRule("divergence[bare].mean_kld", Limit::kMax, 1), Verdict::kUndecided},
           // A drop of 0.5 points, between -0.1 and 1.1.
           VerdictCase{MakeRule("tasks[piqa].acc", Limit::kMaxDropPoints, 1.5), Verdict::kPass},
           VerdictCase{MakeRule("tasks[*].acc", Limit::kMaxDropPoints, 1.0), Verdict::kUndecided},
           VerdictCase{MakeRule("tasks[piqa].acc", Limit::kMaxDropPoints, -0.2), Verdict::kFail},
           VerdictCase{MakeRule("tasks[piqa].acc_norm", Limit::kMaxDropPoints, 50),
                       Verdict::kUndecided},
       }) {
    const auto report = CheckGate(Evaluation(), {{c.rule}});
    ASSERT_TRUE(report.ok()) << c.rule.metric << ": " << report.error().message();
    EXPECT_EQ(report.value().verdict, c.verdict) << Describe(report.value().outcomes.front());
  }
}

// From 12 windows: the t quantiles of 11 degrees of freedom are 2.20099 at 95 % and 3.10581 at 99 %
// (scipy 1.17.1), so the half-width of 0.0003 becomes 0.000423.
TEST(Gate, AHigherConfidenceWidensTheInterval) {
  const auto report =
      CheckGate(Evaluation(), {{MakeRule("divergence[wiki].mean_kld", Limit::kMax, 0.0029, 0.99)}});
  ASSERT_TRUE(report.ok()) << report.error().message();
  EXPECT_EQ(report.value().verdict, Verdict::kUndecided);
  EXPECT_NEAR(report.value().outcomes[0].measured.interval->upper,
              0.0025 + 0.0003 * 3.10581 / 2.20099, 1e-9);
}

TEST(Gate, AStarMeansEveryEntryAndTheWorstVerdictWins) {
  const auto report =
      CheckGate(Evaluation(), {{MakeRule("memory.weights_ratio", Limit::kMax, 0.65),
                                MakeRule("perplexity[*].ratio", Limit::kMax, 1.0055)}});
  ASSERT_TRUE(report.ok()) << report.error().message();
  ASSERT_EQ(report.value().outcomes.size(), 4u);
  EXPECT_EQ(report.value().outcomes[1].measured.metric, "perplexity[wiki].ratio");
  EXPECT_EQ(report.value().outcomes[1].verdict, Verdict::kUndecided);
  EXPECT_EQ(report.value().outcomes[2].verdict, Verdict::kFail);
  EXPECT_EQ(report.value().verdict, Verdict::kFail);
}

struct RefusalCase {
  Rule rule;
  const char* message;
};

TEST(Gate, RefusesARuleItCannotSee) {
  for (const RefusalCase& c : {
           RefusalCase{MakeRule("perplexity[*].rato", Limit::kMax, 1),
                       "no perplexity[wiki].rato; perplexity[wiki] has name, tokens"},
           RefusalCase{MakeRule("perplexty[*].ratio", Limit::kMax, 1),
                       "no perplexty; it has schema"},
           RefusalCase{MakeRule("perplexity[news].ratio", Limit::kMax, 1),
                       "no entry 'news'; it has wiki, brown, one window"},
           RefusalCase{MakeRule("generations[*].first_difference", Limit::kMin, 1), "is empty"},
           RefusalCase{MakeRule("perplexity.ratio", Limit::kMax, 1), "say which entry"},
           RefusalCase{MakeRule("memory[x].y", Limit::kMax, 1), "not a list"},
           RefusalCase{MakeRule("memory.peak_rss_ratio", Limit::kMax, 1), "is null"},
           RefusalCase{MakeRule("suite_digest", Limit::kMax, 1), "not a number"},
           RefusalCase{MakeRule("suite_digest.x", Limit::kMax, 1), "no fields"},
           RefusalCase{MakeRule("", Limit::kMax, 1), "is no path"},
           RefusalCase{MakeRule("a..b", Limit::kMax, 1), "is no path"},
           RefusalCase{MakeRule("a.", Limit::kMax, 1), "is no path"},
           RefusalCase{MakeRule("perplexity[", Limit::kMax, 1), "expected a name"},
           RefusalCase{MakeRule("perplexity[]", Limit::kMax, 1), "expected a name"},
           RefusalCase{MakeRule("perplexity[*]ratio", Limit::kMax, 1), "is no path"},
           RefusalCase{MakeRule("acc", Limit::kMaxDropPoints, 1), "needs a path like"},
           RefusalCase{MakeRule("tasks[piqa].f1", Limit::kMaxDropPoints, 1),
                       "no tasks[piqa].baseline.f1"},
           RefusalCase{MakeRule("speed.decode_ratio", Limit::kMin, 1, 0.99), "how many windows"},
       }) {
    const auto report = CheckGate(Evaluation(), {{c.rule}});
    ASSERT_FALSE(report.ok()) << c.rule.metric;
    EXPECT_NE(report.error().message().find(c.message), std::string::npos)
        << c.rule.metric << " gave " << report.error().message();
    EXPECT_EQ(report.error().message().find('\n'), std::string::npos);
  }
}

TEST(Gate, RefusesAnEvaluationItCannotTrust) {
  struct Case {
    const char* field;
    core::Json value;
    const char* message;
  };
  const Case cases[] = {
      {"complete", false, "not complete"},
      {"complete", nullptr, "'complete' is missing"},
      {"schema", 2, "schema 2"},
      {"candidate_digest", nullptr, "'candidate_digest' is missing"},
      {"baseline_digest", nullptr, "no baseline"},
      {"perplexity", core::Json::array(), "is empty"},
      {"memory", nullptr, "rule 'memory.weights_ratio': memory was left out"},
  };
  for (const Case& c : cases) {
    core::Json evaluation = Evaluation();
    evaluation[c.field] = c.value;
    const auto report = CheckGate(evaluation, {{MakeRule("perplexity[wiki].ratio", Limit::kMax, 2),
                                                MakeRule("memory.weights_ratio", Limit::kMax, 1)}});
    ASSERT_FALSE(report.ok()) << c.field;
    EXPECT_NE(report.error().message().find(c.message), std::string::npos)
        << c.field << " gave " << report.error().message();
  }
  EXPECT_FALSE(CheckGate(core::Json(3), DefaultPolicy()).ok());
}

TEST(Gate, KnowsBeforehandWhichRulesASuiteLeavesBlind) {
  Suite suite;
  EXPECT_TRUE(CheckSuiteMeasures(suite, DefaultPolicy()).ok());
  suite.speed = false;
  const auto status = CheckSuiteMeasures(suite, DefaultPolicy());
  ASSERT_FALSE(status.ok());
  EXPECT_NE(status.error().message().find("rule 'speed.decode_ratio': speed was left out"),
            std::string::npos)
      << status.error().message();
  const Policy without_speed = {{MakeRule("perplexity[*].ratio", Limit::kMax, 1.01),
                                 MakeRule("memory.candidate.weights_bytes", Limit::kMax, 1)}};
  EXPECT_TRUE(CheckSuiteMeasures(suite, without_speed).ok());
  suite.memory = false;
  EXPECT_FALSE(CheckSuiteMeasures(suite, without_speed).ok());
}

TEST(Gate, RefusesAnIntervalThatDoesNotHoldItsValue) {
  for (const core::Json& interval :
       {core::Json{1.006, 1.008}, core::Json{1.008, 1.002}, core::Json{1.0}, core::Json("x")}) {
    core::Json evaluation = Evaluation();
    evaluation["perplexity"][0]["ratio_ci95"] = interval;
    EXPECT_FALSE(CheckGate(evaluation, {{MakeRule("perplexity[wiki].ratio", Limit::kMax, 2)}}).ok())
        << interval.dump();
  }
}

TEST(Gate, ReportsForMachinesAndPeople) {
  const Policy policy = {{MakeRule("perplexity[wiki].ratio", Limit::kMax, 1.01)}};
  const auto report = CheckGate(Evaluation(), policy);
  ASSERT_TRUE(report.ok());
  const core::Json document = GateReportJson(report.value());
  EXPECT_EQ(document["verdict"], "pass");
  EXPECT_EQ(document["candidate_digest"], "cccc");
  EXPECT_EQ(document["baseline_digest"], "bbbb");
  EXPECT_EQ(document["policy_digest"], PolicyDigest(policy));
  EXPECT_EQ(document["rules"][0]["interval"], (core::Json{1.002, 1.008}));
  EXPECT_EQ(document["rules"][0]["max"], 1.01);
  EXPECT_EQ(Describe(report.value().outcomes[0]),
            "pass       perplexity[wiki].ratio               1.005 [1.002, 1.008]   max 1.01");
}

}  // namespace
}  // namespace octavo::eval
