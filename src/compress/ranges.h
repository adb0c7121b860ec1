// ranges.safetensors: what observers saw, in a calibration folder.
#pragma once

#include <string>
#include <vector>

#include "compress/observer.h"
#include "core/json.h"
#include "core/result.h"

namespace octavo::compress {

inline constexpr char kRangesName[] = "ranges.safetensors";

// For each input, under the name of its first module: MODULE.bins I64 [2048], MODULE.bin_exponent
// I32 [1], MODULE.channel_absmax F32 [K], MODULE.range F32 [2] (min, max). Readable by the owner
// only. Returns the SHA-256 of the file.
core::Result<std::string> WriteRanges(const std::string& path,
                                      const std::vector<InputRanges>& ranges);
// Which modules read each input and how many tokens it saw, for calibration.json.
core::Json DescribeRanges(const std::vector<InputRanges>& ranges);
// The file of that description. Errors name the tensor.
core::Result<std::vector<InputRanges>> ReadRanges(const std::string& path,
                                                  const core::Json& description);

}  // namespace octavo::compress
