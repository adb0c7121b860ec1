#include "compress/folds.h"

#include <algorithm>

namespace octavo::compress {
namespace {

void ScaleInputs(DenseLinear& linear, std::span<const float> factors) {
  const auto k = static_cast<size_t>(linear.k);
  for (size_t row = 0; row < static_cast<size_t>(linear.n); ++row) {
    for (size_t i = 0; i < k; ++i) linear.weight[row * k + i] *= factors[i];
  }
}

void DivideOutputs(DenseLinear& linear, std::span<const float> factors) {
  const auto k = static_cast<size_t>(linear.k);
  for (size_t row = 0; row < static_cast<size_t>(linear.n); ++row) {
    for (size_t i = 0; i < k; ++i) linear.weight[row * k + i] /= factors[row];
    if (!linear.bias.empty()) linear.bias[row] /= factors[row];
  }
}

// W: [N, K] to its transpose and back.
std::vector<float> Transposed(const std::vector<float>& matrix, int64_t rows, int64_t columns) {
  std::vector<float> out(matrix.size());
  constexpr int64_t kTile = 32;
  for (int64_t r0 = 0; r0 < rows; r0 += kTile) {
    for (int64_t c0 = 0; c0 < columns; c0 += kTile) {
      for (int64_t r = r0; r < std::min(rows, r0 + kTile); ++r) {
        for (int64_t c = c0; c < std::min(columns, c0 + kTile); ++c)
          out[static_cast<size_t>(c * rows + r)] = matrix[static_cast<size_t>(r * columns + c)];
      }
    }
  }
  return out;
}

// The outputs of a layer, as runs of rotation.n() of them, times the rotation: y -> y * R.
void RotateOutputs(DenseLinear& linear, const kernels::Hadamard& rotation, core::ThreadPool& pool) {
  const int64_t runs = linear.n / rotation.n();
  std::vector<float> columns = Transposed(linear.weight, linear.n, linear.k);
  rotation.Apply(columns.data(), linear.k * runs, pool);
  linear.weight = Transposed(columns, linear.k, linear.n);
  if (!linear.bias.empty()) rotation.Apply(linear.bias.data(), runs, pool);
}

void RotateInputs(DenseLinear& linear, const kernels::Hadamard& rotation, core::ThreadPool& pool) {
  rotation.Apply(linear.weight.data(), linear.n * (linear.k / rotation.n()), pool);
}

}  // namespace

uint64_t InnerRotationSeed(uint64_t seed) {
  return seed * 4 + 3;
}

Rotation MakeRotation(const model::ModelConfig& config, RotateMode mode, uint64_t seed) {
  OCTAVO_CHECK(mode != RotateMode::kNone);
  Rotation out{kernels::Hadamard::Make(config.hidden_size, seed * 4 + 1),
               kernels::Hadamard::Make(config.head_dim, seed * 4 + 2),
               {}};
  if (mode == RotateMode::kOnline)
    out.inner = kernels::Hadamard::Make(config.intermediate_size, InnerRotationSeed(seed));
  return out;
}

core::Status CheckFolds(const model::ModelConfig& config, bool rotate, bool smooth) {
  if (!config.plain_norms && (rotate || smooth)) {
    return core::Unsupported(
        config.architecture +
        " has norms whose weight is not a plain factor: they cannot be folded, so neither rotation "
        "nor smoothing is possible; leave --rotate and --smooth at none");
  }
  return {};
}

void FoldNorms(BlockTensors& block) {
  for (DenseLinear* linear : block.group(FusedGroup::kQkv)) ScaleInputs(*linear, block.input_norm);
  for (DenseLinear* linear : block.group(FusedGroup::kGateUp))
    ScaleInputs(*linear, block.post_norm);
  std::fill(block.input_norm.begin(), block.input_norm.end(), 1.0F);
  std::fill(block.post_norm.begin(), block.post_norm.end(), 1.0F);
}

void Rotate(BlockTensors& block, const Rotation& rotation, const model::ModelConfig& config,
            core::ThreadPool& pool) {
  OCTAVO_CHECK(block.o().k == config.heads * config.head_dim);
  for (const FusedGroup group : {FusedGroup::kQkv, FusedGroup::kGateUp}) {
    for (DenseLinear* linear : block.group(group)) RotateInputs(*linear, rotation.residual, pool);
  }
  RotateOutputs(block.v(), rotation.head, pool);
  RotateInputs(block.o(), rotation.head, pool);
  RotateOutputs(block.o(), rotation.residual, pool);
  if (rotation.inner) RotateInputs(block.down(), *rotation.inner, pool);
  RotateOutputs(block.down(), rotation.residual, pool);
}

int64_t SmoothFactors(const model::ModelConfig& config, FusedGroup group) {
  switch (group) {
    case FusedGroup::kO:
      return config.kv_heads * config.head_dim;
    case FusedGroup::kDown:
      return config.intermediate_size;
    case FusedGroup::kQkv:
    case FusedGroup::kGateUp:
      break;
  }
  return config.hidden_size;
}

namespace {

// Which factor input channel `channel` of a group has.
int64_t FactorOf(const model::ModelConfig& config, FusedGroup group, int64_t channel) {
  if (group != FusedGroup::kO) return channel;
  const int64_t head = channel / config.head_dim;
  return head / (config.heads / config.kv_heads) * config.head_dim + channel % config.head_dim;
}

}  // namespace

std::vector<float> ReduceToFactors(const model::ModelConfig& config, FusedGroup group,
                                   std::span<const float> values) {
  std::vector<float> out(static_cast<size_t>(SmoothFactors(config, group)), 0.0F);
  for (size_t i = 0; i < values.size(); ++i) {
    float& factor = out[static_cast<size_t>(FactorOf(config, group, static_cast<int64_t>(i)))];
    factor = std::max(factor, values[i]);
  }
  return out;
}

std::vector<int64_t> FactorTies(const model::ModelConfig& config, FusedGroup group) {
  std::vector<int64_t> out;
  if (group != FusedGroup::kO || config.heads == config.kv_heads) return out;
  for (int64_t i = 0; i < config.heads * config.head_dim; ++i)
    out.push_back(FactorOf(config, group, i));
  return out;
}

std::vector<float> ExpandFactors(const model::ModelConfig& config, FusedGroup group,
                                 std::span<const float> factors) {
  const int64_t channels = group == FusedGroup::kO ? config.heads * config.head_dim
                                                   : static_cast<int64_t>(factors.size());
  std::vector<float> out;
  out.reserve(static_cast<size_t>(channels));
  for (int64_t i = 0; i < channels; ++i)
    out.push_back(factors[static_cast<size_t>(FactorOf(config, group, i))]);
  return out;
}

void Smooth(BlockTensors& block, FusedGroup group, std::span<const float> factors,
            const model::ModelConfig& config) {
  const std::vector<float> channels = ExpandFactors(config, group, factors);
  for (DenseLinear* linear : block.group(group)) ScaleInputs(*linear, channels);
  switch (group) {
    case FusedGroup::kQkv:
      for (size_t i = 0; i < factors.size(); ++i) block.input_norm[i] /= factors[i];
      break;
    case FusedGroup::kO:
      DivideOutputs(block.v(), factors);
      break;
    case FusedGroup::kGateUp:
      for (size_t i = 0; i < factors.size(); ++i) block.post_norm[i] /= factors[i];
      break;
    case FusedGroup::kDown:
      DivideOutputs(block.up(), factors);
      break;
  }
}

}  // namespace octavo::compress
