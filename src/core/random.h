// Random numbers that are the same on every machine and library: SplitMix64 seeding xoshiro256**
// (Blackman, Vigna 2018).
#pragma once

#include <cstdint>

namespace octavo::core {

// Not thread-safe; cheap to copy. Not for keys.
class Random {
 public:
  explicit Random(uint64_t seed);
  uint64_t Next();
  // Uniform in [0, 1), 53 bits.
  double Uniform();
  // Uniform in [0, bound), without modulo bias; bound > 0.
  uint64_t Below(uint64_t bound);
  // Standard normal (Box-Muller).
  double Normal();

 private:
  uint64_t state_[4];
};

}  // namespace octavo::core
