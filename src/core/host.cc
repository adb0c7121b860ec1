#include "core/host.h"

#include <cstdlib>
#include <fstream>
#include <string_view>

#include <malloc.h>
#include <unistd.h>

namespace octavo::core {
namespace {

// The value of a line like "VmHWM:   1234 kB".
std::optional<int64_t> FieldBytes(const char* path, std::string_view field) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(field))
      return std::strtoll(line.c_str() + field.size(), nullptr, 10) * 1024;
  }
  return std::nullopt;
}

}  // namespace

std::string CpuName() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const size_t colon = line.find(": ");
    if (line.starts_with("model name") && colon != std::string::npos) return line.substr(colon + 2);
  }
  return "unknown";
}

std::optional<int64_t> PeakRssBytes() {
  return FieldBytes("/proc/self/status", "VmHWM:");
}

bool ResetPeakRss() {
  ::malloc_trim(0);  // what was freed before must not count
  std::ofstream file("/proc/self/clear_refs");
  file << "5" << std::flush;
  return file.good();
}

uint64_t LastLevelCacheBytes() {
  for (const int name : {_SC_LEVEL4_CACHE_SIZE, _SC_LEVEL3_CACHE_SIZE, _SC_LEVEL2_CACHE_SIZE}) {
    const long bytes = ::sysconf(name);
    if (bytes > 0) return static_cast<uint64_t>(bytes);
  }
  return 0;
}

std::optional<uint64_t> AvailableMemoryBytes() {
  const auto bytes = FieldBytes("/proc/meminfo", "MemAvailable:");
  if (!bytes) return std::nullopt;
  return static_cast<uint64_t>(*bytes);
}

}  // namespace octavo::core
