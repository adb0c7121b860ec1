#include "compress/block_methods.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include <fmt/format.h>

#include "compress/group_smoothing.h"
#include "compress/static_scale.h"
#include "core/check.h"
#include "quant/gptq.h"
#include "quant/output_error.h"
#include "quant/refine.h"
#include "quant/rtn.h"

namespace octavo::compress {
namespace {

// The type of the scales of a matrix: its own float type as it is stored, unless scales (clipped
// ones, down to half of the largest) would be subnormal there.
tensor::DType ScaleDTypeOf(const DenseLinear& linear, const tensor::Scheme& scheme) {
  if (linear.stored != tensor::DType::kF16) return tensor::ScaleDType(linear.stored, 1);
  const auto group = static_cast<size_t>(scheme.group_size == 0 ? linear.k : scheme.group_size);
  const float levels = scheme.weight_bits == 8 ? 127.0F : 7.0F;
  float smallest = std::numeric_limits<float>::infinity();
  for (size_t first = 0; first < linear.weight.size(); first += group) {
    const float absmax = tensor::AbsMax(std::span(linear.weight).subspan(first, group));
    if (absmax > 0) smallest = std::min(smallest, absmax / levels / 2);
  }
  return tensor::ScaleDType(linear.stored, smallest);
}

// The squared error of a group's outputs as a share of the outputs themselves is not known without
// their energy; the mean square is what the report gives.
struct GroupReport {
  core::Json json = core::Json::object();
  double error = 0;
};

core::Status RoundGroup(const std::vector<DenseLinear*>& linears, const tensor::Scheme& scheme,
                        InputStats* stats, const Recipe& recipe, core::ThreadPool& pool,
                        std::vector<tensor::QuantizedTensor>& out, GroupReport& report) {
  if (recipe.method == Method::kGptq && !scheme.per_tensor) {
    OCTAVO_CHECK(stats != nullptr && stats->moments != nullptr);  // such a recipe gathers them
    const quant::GptqOptions options{.damping = recipe.damping, .clip = recipe.clip};
    OCTAVO_TRY(const quant::GptqFactor factor,
               quant::GptqFactor::Make(*stats->moments, options, pool));
    if (factor.raises() > 0) report.json["damping"] = factor.damping();
    if (!factor.dead().empty()) report.json["dead_inputs"] = factor.dead().size();
    for (const DenseLinear* linear : linears) {
      auto result = quant::Gptq(linear->weight, linear->n, scheme, ScaleDTypeOf(*linear, scheme),
                                factor, options, pool);
      if (!result.ok()) return std::move(result).error().Context(linear->module);
      tensor::QuantizedTensor codes = std::move(result.value().tensor);
      double error = result.value().error;
      if (recipe.refine_passes > 0) {
        quant::Refine(linear->weight, factor, recipe.refine_passes, codes, pool);
        error = quant::OutputError(linear->weight, codes, *stats->moments, pool);
      }
      report.error += error;
      out.push_back(std::move(codes));
    }
    report.json["output_error"] = report.error;
    return {};
  }
  std::vector<float> importance;
  if (stats != nullptr && stats->moments) importance = stats->moments->Diagonal();
  for (const DenseLinear* linear : linears) {
    auto result = quant::RoundToNearest(linear->view(), scheme, ScaleDTypeOf(*linear, scheme), pool,
                                        recipe.clip, importance);
    if (!result.ok()) return std::move(result).error().Context(linear->module);
    out.push_back(std::move(result).value());
  }
  return {};
}

}  // namespace

core::Result<QuantizedBlock> QuantizeBlock(BlockTensors block, StatsCollector* stats,
                                           const Recipe& recipe, const LayerPlan& plan,
                                           const model::ModelConfig& config,
                                           core::ThreadPool& pool) {
  QuantizedBlock out;
  out.report = core::Json::object();
  const int64_t layer = block.layer;
  // All smoothing comes before all rounding: it changes weights of other groups.
  for (const FusedGroup group : kFusedGroups) {
    const tensor::Scheme& scheme = plan.of(layer, group);
    if (recipe.smoothing == Smoothing::kNone || scheme.weight_bits == 16) continue;
    OCTAVO_TRY(core::Json told,
               SmoothGroup(block, group, stats->of(group), recipe, scheme, config, pool));
    if (!told.is_null()) out.report[std::string(FusedGroupName(group))] = std::move(told);
  }
  out.linears.resize(block.linears.size());
  for (const FusedGroup group : kFusedGroups) {
    const tensor::Scheme& scheme = plan.of(layer, group);
    if (scheme.weight_bits == 16) continue;
    const std::vector<DenseLinear*> linears = block.group(group);
    InputStats* inputs = stats != nullptr ? &stats->of(group) : nullptr;
    std::vector<tensor::QuantizedTensor> codes;
    GroupReport report;
    OCTAVO_RETURN_IF_ERROR(RoundGroup(linears, scheme, inputs, recipe, pool, codes, report)
                               .Context(fmt::format("block {}", layer)));
    if (scheme.activations == tensor::Activations::kStaticPerTensor) {
      const StaticScale chosen =
          ChooseStaticScale(*std::max_element(inputs->absmax.begin(), inputs->absmax.end()),
                            inputs->AllSampled(), static_cast<int64_t>(inputs->absmax.size()));
      for (tensor::QuantizedTensor& matrix : codes) matrix.input_scale = chosen.scale;
      report.json["input_scale"] = chosen.scale;
      report.json["static_cost"] = chosen.cost();
    }
    if (inputs != nullptr) inputs->moments.reset();
    core::Json& told = out.report[std::string(FusedGroupName(group))];
    if (told.is_null()) told = core::Json::object();
    told.update(report.json);
    for (size_t i = 0; i < linears.size(); ++i) {
      const auto place = static_cast<size_t>(linears[i] - block.linears.data());
      out.linears[place] = {scheme, std::move(codes[i])};
      linears[i]->weight = {};
    }
  }
  out.tensors = std::move(block);
  OCTAVO_RETURN_IF_ERROR(RoundToStored(out));
  return out;
}

}  // namespace octavo::compress
