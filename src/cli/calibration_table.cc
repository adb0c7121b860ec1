#include "cli/calibration_table.h"

#include <algorithm>

#include <fmt/format.h>

#include "cli/table.h"
#include "core/json.h"

namespace octavo::cli {
namespace {

// Inputs and findings that are told one by one.
constexpr size_t kInputs = 8;
constexpr size_t kFindings = 8;

// The inputs whose largest value is farthest from the bulk of them: where rounding hurts.
std::string RangeTable(const std::vector<compress::InputRanges>& ranges) {
  std::vector<const compress::InputRanges*> order;
  for (const compress::InputRanges& input : ranges) order.push_back(&input);
  const auto spread = [](const compress::InputRanges& input) {
    return input.absmax() / compress::PercentileClip(input.magnitudes, input.absmax(), 0.99);
  };
  std::stable_sort(order.begin(), order.end(),
                   [&](const auto* a, const auto* b) { return spread(*a) > spread(*b); });
  Table table({"input of", "min", "max", "99 %", "99.99 %", "MSE", "entropy"});
  for (size_t i = 0; i < std::min(kInputs, order.size()); ++i) {
    const compress::InputRanges& input = *order[i];
    const auto cell = [](float value) { return fmt::format("{:.4g}", value); };
    const float absmax = input.absmax();
    table.Add({input.modules.front(), cell(input.min), cell(input.max),
               cell(compress::PercentileClip(input.magnitudes, absmax, 0.99)),
               cell(compress::PercentileClip(input.magnitudes, absmax, 0.9999)),
               cell(compress::MseClip(input.magnitudes, absmax)),
               cell(compress::EntropyClip(input.magnitudes, absmax))});
  }
  return fmt::format(
             "\n{} inputs were observed; those with the widest ranges, and where 8-bit codes "
             "should end:\n",
             ranges.size()) +
         table.Render();
}

}  // namespace

std::string TrafficText(const compress::TrafficReport& report) {
  std::vector<const compress::TrafficFinding*> differing;
  for (const compress::TrafficFinding& f : report.findings)
    if (f.differs) differing.push_back(&f);
  const std::string sizes =
      fmt::format("{} calibration prompts and {} production prompts, {} tests",
                  report.calibration_prompts, report.traffic_prompts, report.findings.size());
  if (differing.empty()) {
    return fmt::format(
        "the calibration does not differ from the traffic ({} at a false-alarm rate "
        "of {:g} %)",
        sizes, 100 * report.false_alarms);
  }
  std::stable_sort(differing.begin(), differing.end(),
                   [](const auto* a, const auto* b) { return a->adjusted_p < b->adjusted_p; });
  std::string text = fmt::format(
      "warning: the calibration differs from the traffic ({}, false-alarm rate {:g} %):", sizes,
      100 * report.false_alarms);
  for (size_t i = 0; i < std::min(kFindings, differing.size()); ++i) {
    const compress::TrafficFinding& f = *differing[i];
    text += fmt::format("\n  {}: {} (adjusted p {:.2g})", f.test, f.words, f.adjusted_p);
    if (!f.quotes.empty()) text += "\n    " + f.quotes;
  }
  if (differing.size() > kFindings)
    text += fmt::format("\n  and {} more", differing.size() - kFindings);
  return text;
}

std::string CalibrationTable(const compress::Calibration& calibration) {
  const core::Json& summary = calibration.summary;
  std::string text = fmt::format("digest       {}\n", calibration.digest);
  const auto line = [&](std::string_view name, const std::string& value) {
    text += fmt::format("{:<12} {}\n", name, value);
  };
  const core::Json* const sources = core::Find(summary, "sources");
  if (sources != nullptr) {
    for (const core::Json& source : *sources) {
      const auto file = core::GetString(source, "file");
      const auto sha256 = core::GetString(source, "sha256");
      if (!file.ok() || !sha256.ok()) continue;
      line("source", fmt::format("{} (SHA-256 {:.12})", file.value(), sha256.value()));
    }
  }
  size_t least = SIZE_MAX;
  size_t most = 0;
  for (const auto& sample : calibration.samples) {
    least = std::min(least, sample.size());
    most = std::max(most, sample.size());
  }
  line("samples", fmt::format("{} of {} to {} tokens, {} tokens in all", calibration.samples.size(),
                              least, most, calibration.tokens()));
  const core::Json* const bad = core::Find(summary, "bad_prompts");
  if (bad != nullptr) {
    std::string counts;
    for (const auto& [kind, count] : bad->items()) {
      counts += fmt::format("{}{} {}", counts.empty() ? "" : ", ", count.dump(), kind);
    }
    line("left out", counts);
  }
  const core::Json* const traffic = core::Find(summary, "traffic");
  if (traffic != nullptr) {
    const auto differs = core::GetBool(*traffic, "differs");
    line("traffic", differs.ok() && differs.value() ? "differs" : "does not differ");
  }
  if (!calibration.ranges.empty()) text += RangeTable(calibration.ranges);
  return text;
}

}  // namespace octavo::cli
