// Changes of a block's weights that leave its function as it is but make it easier to quantize:
// norms folded into the layers that they feed, rotations (Ashkboos et al. 2024, QuaRot) and
// smoothing factors (Xiao et al. 2023, SmoothQuant). Each architecture declares which are legal.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "compress/block_tensors.h"
#include "core/result.h"
#include "core/thread_pool.h"
#include "kernels/hadamard.h"
#include "model/config.h"

namespace octavo::compress {

enum class RotateMode : uint8_t { kNone, kFold, kOnline };

// The orthonormal matrices of a model, from one seed.
struct Rotation {
  kernels::Hadamard residual;              // [hidden, hidden]
  kernels::Hadamard head;                  // [D, D], of V's outputs and O's inputs
  std::optional<kernels::Hadamard> inner;  // [intermediate, intermediate], with kOnline only
};
Rotation MakeRotation(const model::ModelConfig& config, RotateMode mode, uint64_t seed);
uint64_t InnerRotationSeed(uint64_t seed);

// Refuses by name what this model's architecture does not allow.
core::Status CheckFolds(const model::ModelConfig& config, bool rotate, bool smooth);

// Norm weights move into q, k, v and gate, up, and become 1.
void FoldNorms(BlockTensors& block);
// Rotates what the block reads from and adds to the residual stream, and V against O per head;
// down's inputs where there is an inner rotation. Norms must have been folded.
void Rotate(BlockTensors& block, const Rotation& rotation, const model::ModelConfig& config,
            core::ThreadPool& pool);

// How many factors the input of a group takes: its channels, but for O of a model with grouped
// queries, where the heads that share one V head share its factors.
int64_t SmoothFactors(const model::ModelConfig& config, FusedGroup group);
// values: [K] by input channel. The largest of those that share a factor: [SmoothFactors].
std::vector<float> ReduceToFactors(const model::ModelConfig& config, FusedGroup group,
                                   std::span<const float> values);
// By input channel, the factor that it has; empty where each has its own.
std::vector<int64_t> FactorTies(const model::ModelConfig& config, FusedGroup group);
// The other way: [SmoothFactors] to [K].
std::vector<float> ExpandFactors(const model::ModelConfig& config, FusedGroup group,
                                 std::span<const float> factors);
// Divides the input channels of a group by their factors ([SmoothFactors], positive) in what makes
// them (the norm, V's rows, up's rows) and multiplies the group's weights by them.
void Smooth(BlockTensors& block, FusedGroup group, std::span<const float> factors,
            const model::ModelConfig& config);

}  // namespace octavo::compress
