#include "engine/sampling.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace octavo::engine {
namespace {

// e^x below this is no part of a sum that one token of weight 1 is in.
constexpr double kNoPower = -60;

// The index of the first of the largest numbers; a NaN is none, and where there is nothing else, 0.
size_t FirstMaximum(std::span<const float> x) {
  constexpr size_t kLanes = 16;
  constexpr size_t kChunk = 64 * kLanes;
  size_t chunk = 0;
  constexpr float kNone = -std::numeric_limits<float>::infinity();
  float best = kNone;
  for (size_t start = 0; start < x.size(); start += kChunk) {
    const size_t end = std::min(x.size(), start + kChunk);
    float lanes[kLanes];
    std::fill(lanes, lanes + kLanes, kNone);
    size_t i = start;
    for (; i + kLanes <= end; i += kLanes) {
      for (size_t j = 0; j < kLanes; ++j) lanes[j] = lanes[j] < x[i + j] ? x[i + j] : lanes[j];
    }
    float highest = *std::max_element(lanes, lanes + kLanes);
    for (; i < end; ++i) highest = highest < x[i] ? x[i] : highest;
    if (best < highest) {
      best = highest;
      chunk = start;
    }
  }
  const auto from = x.begin() + static_cast<std::ptrdiff_t>(chunk);
  const auto found = std::find(from, x.end(), best);
  return found == x.end() ? 0 : static_cast<size_t>(found - x.begin());
}

}  // namespace

core::Status Validate(const SamplingOptions& o) {
  const auto invalid = [](const char* field, const std::string& got, const char* range) {
    return core::Invalid(std::string(field) + " is " + got + ", expected " + range);
  };
  if (!(o.temperature >= 0 && o.temperature <= 2))
    return invalid("temperature", std::to_string(o.temperature), "0 to 2");
  if (!(o.top_p > 0 && o.top_p <= 1))
    return invalid("top_p", std::to_string(o.top_p), "more than 0, at most 1");
  if (o.top_k < 0) return invalid("top_k", std::to_string(o.top_k), "0 (all) or more");
  if (o.max_tokens < 0) return invalid("max_tokens", std::to_string(o.max_tokens), "0 or more");
  for (const std::string& stop : o.stop) {
    if (stop.empty()) return invalid("stop", "an empty string", "at least one character");
  }
  return {};
}

Sampler::Sampler(const SamplingOptions& options) : options_(options), random_(options.seed) {}

text::TokenId Sampler::Sample(std::span<const float> logits) {
  const size_t best = FirstMaximum(logits);
  if (options_.temperature == 0) return static_cast<text::TokenId>(best);
  weights_.resize(logits.size());
  double total = 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    const double power = (static_cast<double>(logits[i]) - logits[best]) / options_.temperature;
    weights_[i] = power > kNoPower ? std::exp(power) : 0;
    total += weights_[i];
  }
  if (options_.top_k == 0 && options_.top_p == 1) {
    return Draw(weights_.size(), total, [](size_t i) { return static_cast<text::TokenId>(i); });
  }
  total = KeepLikeliest(total);
  return Draw(kept_.size(), total, [this](size_t i) { return kept_[i]; });
}

template <typename IdOf>
text::TokenId Sampler::Draw(size_t count, double total, const IdOf& id_of) {
  double left = random_.Uniform() * total;
  size_t last = 0;  // rounding may leave a little when all are taken off
  for (size_t i = 0; i < count && left >= 0; ++i) {
    const double weight = weights_[static_cast<size_t>(id_of(i))];
    if (weight == 0) continue;
    left -= weight;
    last = i;
  }
  return id_of(last);
}

double Sampler::KeepLikeliest(double total) {
  const size_t vocab = weights_.size();
  const size_t most =
      options_.top_k > 0 ? std::min(vocab, static_cast<size_t>(options_.top_k)) : vocab;
  // Equal weights are ordered by id, so that the choice does not depend on the sort.
  const auto better = [this](text::TokenId a, text::TokenId b) {
    const double first = weights_[static_cast<size_t>(a)];
    const double second = weights_[static_cast<size_t>(b)];
    return first > second || (first == second && a < b);
  };
  kept_.resize(vocab);
  std::iota(kept_.begin(), kept_.end(), 0);
  // The likeliest few are sorted, and more of them only where these do not reach top_p.
  size_t sorted = 0;
  const auto sort_to = [&](size_t end) {
    const auto at = [&](size_t i) { return kept_.begin() + static_cast<std::ptrdiff_t>(i); };
    if (end < vocab) std::nth_element(at(sorted), at(end), kept_.end(), better);
    std::sort(at(sorted), at(end), better);
    sorted = end;
  };
  constexpr size_t kFirst = 64;
  sort_to(options_.top_p == 1 ? most : std::min(most, kFirst));
  if (options_.top_p < 1 && options_.top_k > 0) {
    // top_p is a share of what top_k leaves.
    sort_to(most);
    total = 0;
    for (size_t i = 0; i < most; ++i) total += weights_[static_cast<size_t>(kept_[i])];
  }
  // The smallest set of the likeliest tokens whose probability reaches top_p (Holtzman et al.
  // 2020).
  double reached = 0;
  size_t count = 0;
  while (count < most && (options_.top_p == 1 || reached < options_.top_p * total)) {
    if (count == sorted) sort_to(std::min(most, 8 * sorted));
    reached += weights_[static_cast<size_t>(kept_[count++])];
  }
  kept_.resize(count);
  return reached;
}

double LogProbability(std::span<const float> logits, text::TokenId id) {
  const float highest = logits[FirstMaximum(logits)];
  double total = 0;
  for (const float logit : logits) total += std::exp(static_cast<double>(logit) - highest);
  return static_cast<double>(logits[static_cast<size_t>(id)]) - highest - std::log(total);
}

}  // namespace octavo::engine
