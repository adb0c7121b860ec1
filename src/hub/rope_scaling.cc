// Llama 3's rope scaling, recovered from the frequency divisors of a GGUF file.
#include <algorithm>
#include <cmath>

#include "hub/gguf_config.h"

namespace octavo::hub {
namespace {

// All published settings; the context is always a power of two.
constexpr double kLowFrequencyFactor = 1;
constexpr double kHighFrequencyFactor = 4;
constexpr int kLeastContextLog2 = 5;
constexpr int kMostContextLog2 = 24;

double Divisor(double wavelength, double factor, double context) {
  if (wavelength < context / kHighFrequencyFactor) return 1;
  if (wavelength > context / kLowFrequencyFactor) return factor;
  const double smooth =
      (context / wavelength - kLowFrequencyFactor) / (kHighFrequencyFactor - kLowFrequencyFactor);
  return 1 / ((1 - smooth) / factor + smooth);
}

}  // namespace

core::Result<core::Json> RecoverLlama3Scaling(std::span<const float> divisors, double theta) {
  const double factor = divisors.empty() ? 1 : *std::max_element(divisors.begin(), divisors.end());
  const auto gives = [&](double context) {
    for (size_t i = 0; i < divisors.size(); ++i) {
      const double wavelength =
          2 * M_PI * std::pow(theta, static_cast<double>(i) / static_cast<double>(divisors.size()));
      // The converter works in f32, whose errors the smoothing multiplies by a few.
      const double expected = Divisor(wavelength, factor, context);
      if (!(std::fabs(divisors[i] - expected) <= 1e-4 * expected)) return false;
    }
    return true;
  };
  // The context of Llama 3.1 to 3.3 first: where several fit they mean the same.
  std::vector<double> contexts = {8192};
  for (int log2 = kLeastContextLog2; log2 <= kMostContextLog2; ++log2) {
    contexts.push_back(std::ldexp(1, log2));
  }
  for (const double context : contexts) {
    if (!gives(context)) continue;
    return core::Json{{"rope_type", "llama3"},
                      {"factor", factor},
                      {"low_freq_factor", kLowFrequencyFactor},
                      {"high_freq_factor", kHighFrequencyFactor},
                      {"original_max_position_embeddings", static_cast<int64_t>(context)}};
  }
  return core::Unsupported(
      "tensor 'rope_freqs.weight': its frequency divisors are those of no Llama 3 rope scaling");
}

}  // namespace octavo::hub
