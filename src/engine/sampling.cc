#include "engine/sampling.h"

#include <algorithm>
#include <cmath>

namespace octavo::engine {

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
  if (options_.temperature == 0) {
    return static_cast<text::TokenId>(std::max_element(logits.begin(), logits.end()) -
                                      logits.begin());
  }
  candidates_.clear();
  for (size_t i = 0; i < logits.size(); ++i)
    candidates_.emplace_back(logits[i], static_cast<text::TokenId>(i));
  // Equal logits are ordered by id, so that the choice does not depend on the sort.
  const auto better = [](const auto& a, const auto& b) {
    return a.first > b.first || (a.first == b.first && a.second < b.second);
  };
  size_t kept = candidates_.size();
  if (options_.top_k > 0) kept = std::min(kept, static_cast<size_t>(options_.top_k));
  if (kept < candidates_.size()) {
    std::nth_element(candidates_.begin(), candidates_.begin() + static_cast<std::ptrdiff_t>(kept),
                     candidates_.end(), better);
    candidates_.resize(kept);
  }
  std::sort(candidates_.begin(), candidates_.end(), better);

  const auto weight = [&](size_t i) {
    return std::exp((static_cast<double>(candidates_[i].first) - candidates_[0].first) /
                    options_.temperature);
  };
  double total = 0;
  for (size_t i = 0; i < kept; ++i) total += weight(i);
  if (options_.top_p < 1) {
    // The smallest set of the likeliest tokens whose probability reaches top_p (Holtzman et al.
    // 2020).
    double reached = 0;
    size_t i = 0;
    while (i < kept && reached < options_.top_p * total) reached += weight(i++);
    kept = i;
    total = reached;
  }
  double left = random_.Uniform() * total;
  for (size_t i = 0; i + 1 < kept; ++i) {
    left -= weight(i);
    if (left < 0) return candidates_[i].second;
  }
  return candidates_[kept - 1].second;
}

double LogProbability(std::span<const float> logits, text::TokenId id) {
  const float highest = *std::max_element(logits.begin(), logits.end());
  double total = 0;
  for (const float logit : logits) total += std::exp(static_cast<double>(logit) - highest);
  return static_cast<double>(logits[static_cast<size_t>(id)]) - highest - std::log(total);
}

}  // namespace octavo::engine
