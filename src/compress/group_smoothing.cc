#include "compress/group_smoothing.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "compress/folds.h"
#include "quant/awq.h"
#include "quant/smoothquant.h"

namespace octavo::compress {
namespace {

struct Chosen {
  std::vector<float> channels;  // factors, [K]
  core::Json report;
};

core::Result<Chosen> Choose(std::span<const quant::MatrixView> weights, const InputStats& stats,
                            std::span<const int64_t> ties, const Recipe& recipe,
                            const tensor::Scheme& scheme, core::ThreadPool& pool) {
  switch (recipe.smoothing) {
    case Smoothing::kSearch: {
      quant::SmoothOptions options;
      options.ties = ties;
      // Prompts of one token have first rows only.
      const auto& sample = stats.sample.empty() ? stats.first_rows : stats.sample;
      OCTAVO_TRY(auto found, quant::SearchSmooth(weights, stats.absmax, sample, *stats.moments,
                                                 scheme, options, pool));
      return Chosen{std::move(found.factors),
                    {{"smooth_alpha", found.alpha},
                     {"smooth_balanced", found.balanced},
                     {"smooth_error", {found.error_before, found.error_after}}}};
    }
    case Smoothing::kAwq: {
      quant::AwqOptions options;
      options.clip = recipe.clip;
      options.ties = ties;
      OCTAVO_TRY(auto found,
                 quant::SearchAwq(weights, stats.AbsMean(), *stats.moments, scheme, options, pool));
      return Chosen{std::move(found.factors),
                    {{"awq_ratio", found.ratio},
                     {"awq_duo", found.duo},
                     {"awq_error", {found.error_before, found.error_after}}}};
    }
    case Smoothing::kAlpha:
    case Smoothing::kNone:
      break;
  }
  return Chosen{};
}

}  // namespace

core::Result<core::Json> SmoothGroup(BlockTensors& block, FusedGroup group, InputStats& stats,
                                     const Recipe& recipe, const tensor::Scheme& scheme,
                                     const model::ModelConfig& config, core::ThreadPool& pool) {
  // The rotation stands between down and what could take the factors up.
  if (group == FusedGroup::kDown && recipe.rotate == RotateMode::kOnline) return core::Json();
  std::vector<quant::MatrixView> weights;
  for (const DenseLinear* linear : block.group(group))
    weights.push_back({linear->weight, linear->n});
  const auto k = block.group(group)[0]->k;
  std::vector<float> factors;
  core::Json report;
  if (recipe.smoothing == Smoothing::kAlpha) {
    factors = quant::SmoothScales(ReduceToFactors(config, group, stats.absmax),
                                  ReduceToFactors(config, group, quant::ColumnAbsMax(weights, k)),
                                  static_cast<float>(recipe.alpha));
    report = {{"smooth_alpha", recipe.alpha}};
  } else {
    const std::vector<int64_t> ties = FactorTies(config, group);
    auto chosen = Choose(weights, stats, ties, recipe, scheme, pool);
    if (!chosen.ok()) return std::move(chosen).error();
    factors = ReduceToFactors(config, group, chosen.value().channels);
    report = std::move(chosen.value().report);
  }
  Smooth(block, group, factors, config);
  stats.Divide(ExpandFactors(config, group, factors));
  return report;
}

}  // namespace octavo::compress
