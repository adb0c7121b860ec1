#include "compress/traffic_check.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "compress/traffic_tests.h"
#include "stats/permutation.h"

namespace octavo::compress {
namespace {

constexpr int64_t kLeastPermutations = 999;
constexpr int64_t kMostPermutations = 99999;

}  // namespace

bool TrafficReport::differs() const {
  return std::any_of(findings.begin(), findings.end(), [](const auto& f) { return f.differs; });
}

core::Json TrafficReport::ToJson() const {
  core::Json tests = core::Json::array();
  for (const TrafficFinding& f : findings) {
    tests.push_back({{"test", f.test},
                     {"statistic", f.statistic},
                     {"p", f.p},
                     {"adjusted_p", f.adjusted_p},
                     {"differs", f.differs},
                     {"words", f.words}});
  }
  return {{"calibration_prompts", calibration_prompts},
          {"traffic_prompts", traffic_prompts},
          {"false_alarm_rate", false_alarms},
          {"permutations", permutations},
          {"differs", differs()},
          {"tests", std::move(tests)}};
}

TrafficReport CompareWithTraffic(const PromptGroup& calibration, const PromptGroup& traffic,
                                 const TrafficCheckOptions& options,
                                 const text::Tokenizer& tokenizer, core::ThreadPool& pool) {
  OCTAVO_CHECK(options.false_alarms > 0 && options.false_alarms < 1);
  TrafficReport report;
  report.calibration_prompts = static_cast<int64_t>(calibration.prompts.size());
  report.traffic_prompts = static_cast<int64_t>(traffic.prompts.size());
  report.false_alarms = options.false_alarms;
  // Ten labellings beyond the limit on average: with fewer, the draw of labellings decides.
  report.permutations = std::clamp(static_cast<int64_t>(std::ceil(10 / options.false_alarms)) - 1,
                                   kLeastPermutations, kMostPermutations);
  const TrafficTests all(calibration, traffic, options.windows, tokenizer);
  const std::vector<TrafficTest>& tests = all.tests();
  std::vector<const stats::TwoSampleStatistic*> statistics;
  for (const TrafficTest& test : tests) statistics.push_back(test.statistic.get());
  const std::vector<stats::PermutedTest> results =
      stats::MaxT(statistics, all.labels(), report.permutations, options.seed, pool);
  for (size_t i = 0; i < tests.size(); ++i) {
    TrafficFinding finding{tests[i].name,
                           results[i].statistic,
                           results[i].p,
                           results[i].adjusted_p,
                           false,
                           tests[i].words(),
                           ""};
    finding.differs = finding.adjusted_p <= options.false_alarms;
    if (finding.differs) finding.quotes = tests[i].quotes();
    report.findings.push_back(std::move(finding));
  }
  return report;
}

}  // namespace octavo::compress
