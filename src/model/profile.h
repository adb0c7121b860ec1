// Where the time of forward passes goes.
#pragma once

#include <cstdint>

namespace octavo::model {

// Summed since the model was loaded or the profile was last reset. Not thread-safe.
struct Profile {
  double linear_seconds = 0;     // linear layers, the conversion of their inputs included
  double attention_seconds = 0;  // rotation, storing of K and V, and attention
  double linear_multiply_adds = 0;
};

}  // namespace octavo::model
