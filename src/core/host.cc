#include "core/host.h"

#include <cstdlib>
#include <fstream>
#include <string_view>

#include <malloc.h>

namespace octavo::core {

std::string CpuName() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const size_t colon = line.find(": ");
    if (line.starts_with("model name") && colon != std::string::npos) return line.substr(colon + 2);
  }
  return "unknown";
}

std::optional<int64_t> PeakRssBytes() {
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);) {
    constexpr std::string_view kField = "VmHWM:";
    if (line.starts_with(kField))
      return std::strtoll(line.c_str() + kField.size(), nullptr, 10) * 1024;
  }
  return std::nullopt;
}

bool ResetPeakRss() {
  ::malloc_trim(0);  // what was freed before must not count
  std::ofstream file("/proc/self/clear_refs");
  file << "5" << std::flush;
  return file.good();
}

}  // namespace octavo::core
