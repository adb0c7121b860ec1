// A calibration for people.
#pragma once

#include <string>

#include "compress/calibration.h"
#include "compress/traffic_check.h"

namespace octavo::cli {

// Where the samples came from, how many and how long they are, and the inputs with the widest
// ranges; nothing of what samples say.
std::string CalibrationTable(const compress::Calibration& calibration);

// What differs, in words, with quotes from the prompts; or that nothing does.
std::string TrafficText(const compress::TrafficReport& report);

}  // namespace octavo::cli
