#include "quant/finite.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "tensor/quant_spec.h"

namespace octavo::quant {

core::Error NotFinite(int64_t index, int64_t k, float value) {
  return core::Invalid(
      fmt::format("weight [{}, {}] is {}, which no integer can hold; the checkpoint is damaged or "
                  "was exported wrongly",
                  index / k, index % k, std::isnan(value) ? "NaN" : "infinite"));
}

core::Status CheckFinite(std::span<const float> weight, int64_t k) {
  if (std::isfinite(tensor::AbsMax(weight))) return {};
  const auto bad =
      std::find_if(weight.begin(), weight.end(), [](float w) { return !std::isfinite(w); });
  return NotFinite(bad - weight.begin(), k, *bad);
}

}  // namespace octavo::quant
