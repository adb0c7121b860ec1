// The scale of static activations: one number for a whole layer, chosen before any request is seen.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/json.h"

namespace octavo::compress {

struct StaticScale {
  float scale = 1.0F;          // a code's worth; inputs beyond 127 codes are clipped
  double error = 0;            // squared, over the sample, with this scale
  double per_token_error = 0;  // the same with a scale of its own for each row
  // How many times the error of per-token scales the static one has; 1 where those have none.
  double cost() const;
};

// absmax: the largest magnitude of all rows; sample: [rows, k] f32 of them, finite. The scale
// reaches to absmax, or clips a few and rounds all others more finely, whichever has the least
// squared error on the sample (a grid of 96 steps down to a twentieth). A layer of zeros has
// scale 1.
StaticScale ChooseStaticScale(float absmax, std::span<const float> sample, int64_t k);

// A cost from which a layer is named to the user: single tokens that are far larger than all others
// (the first one of a sequence, mostly) leave the others only a few codes. On SmolLM2-135M, 64 x
// 512 tokens, the inputs of q/k/v cost 1.1 to 3.1, those of o and gate/up 1.3 to 11, of down 2
// to 52.
inline constexpr double kDearStaticCost = 20;

// What to tell of an artifact's static layers; reports: of its blocks, as QuantizeBlock makes them.
// Empty when no layer is dear.
std::vector<std::string> StaticNotes(const std::vector<core::Json>& reports);

}  // namespace octavo::compress
