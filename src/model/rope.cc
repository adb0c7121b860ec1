#include "model/rope.h"

#include <cmath>
#include <numbers>

namespace octavo::model {
namespace {

double ScaledFrequency(double frequency, const RopeConfig& rope) {
  if (rope.scaling == RopeScaling::kNone) return frequency;
  if (rope.scaling == RopeScaling::kLinear) return frequency / rope.factor;
  const double wavelength = 2 * std::numbers::pi / frequency;
  const auto original = static_cast<double>(rope.original_context);
  if (wavelength < original / rope.high_freq_factor) return frequency;
  if (wavelength > original / rope.low_freq_factor) return frequency / rope.factor;
  const double smooth = (original / wavelength - rope.low_freq_factor) /
                        (rope.high_freq_factor - rope.low_freq_factor);
  return (1 - smooth) * frequency / rope.factor + smooth * frequency;
}

}  // namespace

std::vector<float> RopeFrequencies(const ModelConfig& config) {
  std::vector<float> out;
  for (int64_t i = 0; i < config.head_dim; i += 2) {
    const double exponent = static_cast<double>(i) / static_cast<double>(config.head_dim);
    out.push_back(
        static_cast<float>(ScaledFrequency(std::pow(config.rope.theta, -exponent), config.rope)));
  }
  return out;
}

void RopeAngles(const std::vector<float>& frequencies, int64_t position, float* cosine,
                float* sine) {
  for (size_t i = 0; i < frequencies.size(); ++i) {
    const auto angle = static_cast<double>(static_cast<float>(position) * frequencies[i]);
    cosine[i] = static_cast<float>(std::cos(angle));
    sine[i] = static_cast<float>(std::sin(angle));
  }
}

}  // namespace octavo::model
