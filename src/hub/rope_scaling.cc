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

double Divisor(double wavelength, double factor, double context, double low = kLowFrequencyFactor,
               double high = kHighFrequencyFactor) {
  if (wavelength < context / high) return 1;
  if (wavelength > context / low) return factor;
  const double smooth = (context / wavelength - low) / (high - low);
  return 1 / ((1 - smooth) / factor + smooth);
}

// Of pair i of `count`.
double Wavelength(double theta, int64_t i, int64_t count) {
  return 2 * M_PI * std::pow(theta, static_cast<double>(i) / static_cast<double>(count));
}

}  // namespace

core::Result<core::Json> RecoverLlama3Scaling(std::span<const float> divisors, double theta) {
  const double factor = divisors.empty() ? 1 : *std::max_element(divisors.begin(), divisors.end());
  const auto gives = [&](double context) {
    for (size_t i = 0; i < divisors.size(); ++i) {
      const double wavelength =
          Wavelength(theta, static_cast<int64_t>(i), static_cast<int64_t>(divisors.size()));
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

core::Result<std::vector<float>> Llama3Divisors(const core::Json& scaling, double theta,
                                                int64_t count) {
  OCTAVO_TRY(const double factor, core::GetDouble(scaling, "factor"));
  OCTAVO_TRY(const double low, core::GetDouble(scaling, "low_freq_factor"));
  OCTAVO_TRY(const double high, core::GetDouble(scaling, "high_freq_factor"));
  OCTAVO_TRY(const double context, core::GetDouble(scaling, "original_max_position_embeddings"));
  if (!(low > 0 && high > low && factor >= 1))
    return core::Invalid("the rope scaling's factors are not those of Llama 3's");
  std::vector<float> out;
  for (int64_t i = 0; i < count; ++i) {
    out.push_back(
        static_cast<float>(Divisor(Wavelength(theta, i, count), factor, context, low, high)));
  }
  return out;
}

}  // namespace octavo::hub
