// What this process runs on, and how much memory it took.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace octavo::core {

// As /proc/cpuinfo calls it; "unknown" where it does not.
std::string CpuName();

// The most memory that the process had resident at once (VmHWM, mapped pages included); nothing
// where /proc does not say.
std::optional<int64_t> PeakRssBytes();
// Makes the peak start again from what is resident now; false where the kernel does not allow it.
// Source: Linux, Documentation/filesystems/proc.rst, clear_refs.
bool ResetPeakRss();

// Of the largest cache that a core has; 0 where the system does not say.
uint64_t LastLevelCacheBytes();
// What can be taken without swapping (MemAvailable); nothing where /proc does not say.
std::optional<uint64_t> AvailableMemoryBytes();

}  // namespace octavo::core
