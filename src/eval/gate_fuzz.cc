// Fuzz target: a metric path on the first line, an evaluation document behind it.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "eval/gate.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace octavo;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t line = input.find('\n');
  if (line == std::string_view::npos) return 0;
  const auto evaluation = core::ParseJson(input.substr(line + 1));
  if (!evaluation.ok()) return 0;
  for (const eval::Limit limit : {eval::Limit::kMax, eval::Limit::kMaxDropPoints}) {
    const std::string metric(input.substr(0, line));
    const auto report = eval::CheckGate(evaluation.value(), {{{metric, limit, 1, 0.9}}});
    if (report.ok()) static_cast<void>(core::DumpJson(eval::GateReportJson(report.value())));
  }
  return 0;
}
