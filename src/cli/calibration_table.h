// A calibration for people.
#pragma once

#include <string>

#include "compress/calibration.h"

namespace octavo::cli {

// Where the samples came from, how many and how long they are; nothing of what they say.
std::string CalibrationTable(const compress::Calibration& calibration);

}  // namespace octavo::cli
