#include "cli/calibration_table.h"

#include <fmt/format.h>

#include "core/json.h"

namespace octavo::cli {

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
  return text;
}

}  // namespace octavo::cli
