// The tests of a calibration against its traffic: what is measured of each prompt, and the words
// for a difference.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "compress/traffic_check.h"
#include "stats/permutation.h"
#include "stats/two_sample.h"
#include "text/tokenizer.h"

namespace octavo::compress {

struct TrafficTest {
  std::string name;
  std::unique_ptr<stats::TwoSampleStatistic> statistic;
  std::function<std::string()> words;   // numbers of both sides
  std::function<std::string()> quotes;  // from the prompts themselves
};

// The groups and the tokenizer must outlive it.
class TrafficTests {
 public:
  // windows: as TrafficCheckOptions has it.
  TrafficTests(const PromptGroup& calibration, const PromptGroup& traffic, bool windows,
               const text::Tokenizer& tokenizer);
  ~TrafficTests();

  const std::vector<TrafficTest>& tests() const { return tests_; }
  // Of the members of all statistics: 1 for the calibration, 0 for traffic.
  stats::Labels labels() const;

 private:
  class Comparison;
  std::unique_ptr<Comparison> comparison_;
  std::vector<TrafficTest> tests_;
};

}  // namespace octavo::compress
