#include "compress/static_scale.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "compress/fused_group.h"
#include "tensor/quant_spec.h"

namespace octavo::compress {
namespace {

double RoundingError(std::span<const float> values, float scale) {
  double error = 0;
  for (const float x : values) {
    const float code = std::clamp(std::nearbyint(x / scale), -127.0F, 127.0F);
    const double miss = static_cast<double>(x) - static_cast<double>(code * scale);
    error += miss * miss;
  }
  return error;
}

}  // namespace

double StaticScale::cost() const {
  return per_token_error > 0 ? error / per_token_error : 1.0;
}

StaticScale ChooseStaticScale(float absmax, std::span<const float> sample, int64_t k) {
  StaticScale out;
  if (!(absmax > 0)) return out;
  out.error = std::numeric_limits<double>::infinity();
  for (int step = 100; step >= 5; --step) {
    const float scale = absmax * static_cast<float>(step) / 100.0F / 127.0F;
    const double error = RoundingError(sample, scale);
    if (error >= out.error) continue;
    out.error = error;
    out.scale = scale;
  }
  const auto width = static_cast<size_t>(k);
  for (size_t first = 0; first + width <= sample.size(); first += width) {
    const std::span<const float> row = sample.subspan(first, width);
    const float most = tensor::AbsMax(row);
    if (most > 0) out.per_token_error += RoundingError(row, most / 127.0F);
  }
  return out;
}

std::vector<std::string> StaticNotes(const std::vector<core::Json>& reports) {
  std::vector<std::string> notes;
  for (const FusedGroup group : kFusedGroups) {
    std::vector<size_t> blocks;
    double dearest = 0;
    for (size_t layer = 0; layer < reports.size(); ++layer) {
      const core::Json* told = core::Find(reports[layer], std::string(FusedGroupName(group)));
      const core::Json* cost = told == nullptr ? nullptr : core::Find(*told, "static_cost");
      if (cost == nullptr || !cost->is_number() || cost->get<double>() < kDearStaticCost) continue;
      blocks.push_back(layer);
      dearest = std::max(dearest, cost->get<double>());
    }
    if (blocks.empty()) continue;
    const std::string module = FusedGroupModules(0, group)[0];
    const std::string projection = module.substr(module.rfind('.') + 1);
    notes.push_back(fmt::format(
        "a static scale has up to {:.0f} times the rounding error of per-token ones for the inputs "
        "of {} in {} of {} blocks; to leave those per token: --keep "
        "'layers\\.({})\\..*{}=w8a8'",
        dearest, projection, blocks.size(), reports.size(), fmt::join(blocks, "|"), projection));
  }
  return notes;
}

}  // namespace octavo::compress
