// Inputs and weights of the tests of the methods: correlated, as a model's are.
#pragma once

#include <cstdint>
#include <vector>

#include "core/random.h"
#include "core/thread_pool.h"
#include "quant/second_moments.h"
#include "tensor/quant_spec.h"

namespace octavo::quant {

inline tensor::Scheme Parse(const char* scheme) {
  return tensor::ParseScheme(scheme).value();
}

inline std::vector<float> Normal(int64_t count, uint64_t seed, double size = 1) {
  core::Random random(seed);
  std::vector<float> out(static_cast<size_t>(count));
  for (float& x : out) x = static_cast<float>(size * random.Normal());
  return out;
}

// [rows, K] with correlated columns (a random mixture of K / 4 sources and some noise) of sizes
// that differ by a factor of ten, as the inputs of a model's layers have.
inline std::vector<float> CorrelatedInputs(int64_t rows, int64_t k, uint64_t seed) {
  const int64_t sources = k / 4 + 1;
  const std::vector<float> mix = Normal(sources * k, seed + 1);
  const std::vector<float> source = Normal(rows * sources, seed + 2);
  std::vector<float> x = Normal(rows * k, seed + 3, 0.3);
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t j = 0; j < k; ++j) {
      float& value = x[static_cast<size_t>(r * k + j)];
      for (int64_t s = 0; s < sources; ++s) {
        value += source[static_cast<size_t>(r * sources + s)] *
                 mix[static_cast<size_t>(s * k + j)] / static_cast<float>(sources);
      }
      if (j % 7 == 0) value *= 10;
    }
  }
  return x;
}

inline SecondMoments Moments(const std::vector<float>& x, int64_t k, core::ThreadPool& pool) {
  SecondMoments out(k);
  out.Add(x.data(), static_cast<int64_t>(x.size()) / k, pool);
  return out;
}

}  // namespace octavo::quant
