// Folds leave the function of every architecture as it is.
#include "compress/folds.h"

#include <cmath>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "compress/model_ends.h"
#include "compress/quantize_fixture.h"
#include "core/json.h"
#include "core/random.h"
#include "engine/block_stream.h"
#include "format/safetensors.h"

namespace octavo::compress {
namespace {

using Change = std::function<void(BlockTensors&, const model::ModelConfig&, core::ThreadPool&)>;

// The logits of the fixture's last sequence after `change` was made to every block.
std::vector<float> Logits(const std::string& name, const Rotation* rotation, const Change& change) {
  core::ThreadPool pool(2);
  const auto folder = format::ModelFolder::Open(kModels + name).value();
  const auto config = model::LoadModelConfig(folder.config(), folder.path()).value();
  const LayerPlan plan;
  const auto ends = ModelEnds::Open(folder, config, plan, rotation, pool).value();
  const auto tokens = core::ReadJsonFile(kModels + name + "/tokens.json")
                          .value()
                          .get<std::vector<std::vector<int32_t>>>();
  const std::vector<int32_t>& ids = tokens.back();
  const auto rows = static_cast<int64_t>(ids.size());
  auto states =
      engine::HiddenStates::Create({rows}, config.hidden_size, {int64_t{1} << 30, "."}).value();
  EXPECT_TRUE(ends.Embed(ids, states).ok());
  engine::BlockStream stream(config, model::Compute::kF32, model::KvType::kF32, pool);
  std::shared_ptr<const kernels::Hadamard> inner;
  if (rotation != nullptr && rotation->inner)
    inner = std::make_shared<const kernels::Hadamard>(*rotation->inner);
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    BlockTensors block = LoadBlockTensors(folder, config, layer, pool).value();
    change(block, config, pool);
    EXPECT_TRUE(
        stream
            .Forward(PackDense(block, inner, pool), layer, states, &states, {}, core::CancelToken())
            .ok());
  }
  std::vector<float> hidden(static_cast<size_t>(rows * config.hidden_size));
  EXPECT_TRUE(states.Read(0, hidden).ok());
  std::vector<float> logits(static_cast<size_t>(rows * config.vocab_size));
  const auto head = ends.Head();
  EXPECT_TRUE(head.ok());
  stream.Head(head.value(), ends.Norm(), hidden.data(), rows, logits.data());
  return logits;
}

double MostDifferent(const std::vector<float>& a, const std::vector<float>& b) {
  EXPECT_EQ(a.size(), b.size());
  double most = 0;
  for (size_t i = 0; i < a.size(); ++i)
    most = std::max(most, std::fabs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
  return most;
}

class Folds : public testing::TestWithParam<const char*> {
 protected:
  static void Nothing(BlockTensors&, const model::ModelConfig&, core::ThreadPool&) {}
  const std::vector<float> plain_ = Logits(GetParam(), nullptr, Nothing);
};

// Logits are of order 1 and rotations exact to some 1e-7 of the largest number of a row.
constexpr double kTolerance = 1e-4;

TEST_P(Folds, ThePlainWalkEqualsTransformers) {
  const auto file =
      format::SafetensorsFile::Open(kModels + GetParam() + std::string("/logits.safetensors"))
          .value();
  const tensor::TensorView* view = file.Find("logits." + std::to_string(file.tensors().size() - 1));
  std::vector<float> reference(static_cast<size_t>(view->elements()));
  tensor::ConvertToFloat(view->dtype, view->bytes, reference);
  EXPECT_LT(MostDifferent(plain_, reference), 2e-4);
}

TEST_P(Folds, NormsMoveIntoTheLayersBehindThem) {
  const auto folded = Logits(
      GetParam(), nullptr,
      [](BlockTensors& block, const model::ModelConfig&, core::ThreadPool&) { FoldNorms(block); });
  EXPECT_LT(MostDifferent(plain_, folded), kTolerance);
}

TEST_P(Folds, RotationsCancel) {
  const auto folder = format::ModelFolder::Open(kModels + GetParam()).value();
  const auto config = model::LoadModelConfig(folder.config(), folder.path()).value();
  for (const RotateMode mode : {RotateMode::kFold, RotateMode::kOnline}) {
    const Rotation rotation = MakeRotation(config, mode, 5);
    const auto rotated =
        Logits(GetParam(), &rotation,
               [&](BlockTensors& block, const model::ModelConfig& c, core::ThreadPool& pool) {
                 FoldNorms(block);
                 Rotate(block, rotation, c, pool);
               });
    EXPECT_LT(MostDifferent(plain_, rotated), kTolerance);
  }
}

TEST_P(Folds, SmoothingFactorsCancelInEveryGroup) {
  for (const FusedGroup group : kFusedGroups) {
    const auto smoothed =
        Logits(GetParam(), nullptr,
               [group](BlockTensors& block, const model::ModelConfig& config, core::ThreadPool&) {
                 core::Random random(static_cast<uint64_t>(block.layer) + 1);
                 std::vector<float> factors;
                 for (int64_t i = 0; i < SmoothFactors(config, group); ++i)
                   factors.push_back(static_cast<float>(std::exp(2 * random.Uniform() - 1)));
                 Smooth(block, group, factors, config);
               });
    EXPECT_LT(MostDifferent(plain_, smoothed), kTolerance) << FusedGroupName(group);
  }
}

TEST_P(Folds, AWrongFoldWouldBeSeen) {
  const auto wrong = Logits(GetParam(), nullptr,
                            [](BlockTensors& block, const model::ModelConfig&, core::ThreadPool&) {
                              std::fill(block.post_norm.begin(), block.post_norm.end(), 1.0F);
                            });
  EXPECT_GT(MostDifferent(plain_, wrong), 10 * kTolerance);
}

INSTANTIATE_TEST_SUITE_P(All, Folds,
                         testing::Values("llama", "llama3_rope", "llama_tied", "mistral_window",
                                         "qwen2", "qwen3"));

TEST(FoldsLegality, NormsThatAreNoPlainFactorsAreRefusedByName) {
  model::ModelConfig config;
  config.architecture = "GemmaForCausalLM";
  config.plain_norms = false;
  EXPECT_TRUE(CheckFolds(config, false, false).ok());
  for (const bool rotate : {true, false}) {
    const core::Status refused = CheckFolds(config, rotate, !rotate);
    ASSERT_FALSE(refused.ok());
    EXPECT_NE(refused.error().message().find("GemmaForCausalLM"), std::string::npos);
  }
}

}  // namespace
}  // namespace octavo::compress
