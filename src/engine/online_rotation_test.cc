// A rotation of down_proj's inputs that runs with the model takes back the one in its weights.
#include <cmath>

#include <gtest/gtest.h>

#include "core/temp_folder.h"
#include "engine/changed_copy.h"
#include "engine/fixture.h"
#include "kernels/dispatch.h"
#include "kernels/hadamard.h"

namespace octavo::engine {
namespace {

constexpr uint64_t kSeed = 0xC0FFEE0123456789U;

std::vector<float> Logits(const std::string& path, const std::vector<TokenId>& tokens) {
  auto engine = Engine::Load(path, {});
  if (!engine.ok()) {
    ADD_FAILURE() << engine.error().message();
    return {};
  }
  Sequence sequence = engine.value()->NewSequence();
  const Step step{&sequence, tokens, 0};
  const auto logits = engine.value()->Forward({&step, 1}).value();
  return {logits.begin(), logits.end()};
}

// down_proj's columns rotated; the config says `seed`, or nothing of it.
void WriteRotated(const std::string& fixture, const std::string& to, std::optional<uint64_t> seed,
                  int64_t order = 0) {
  core::ThreadPool pool(1);
  int64_t inner = 0;
  const core::Status status = WriteChangedCopy(
      FixturePath(fixture), to,
      [&](const std::string& module, std::vector<float>& weight, int64_t n, int64_t k) {
        if (module.ends_with("down_proj")) {
          kernels::Hadamard::Make(k, kSeed).Apply(weight.data(), n, pool);
          inner = k;
        }
        return LayerChange{};
      },
      [&](core::Json quantization) -> core::Json {
        if (!seed) return nullptr;
        return format::WithOnlineRotation(std::move(quantization),
                                          {order > 0 ? order : inner, *seed});
      });
  ASSERT_TRUE(status.ok()) << status.error().message();
}

class OnlineRotation : public testing::TestWithParam<const char*> {};

TEST_P(OnlineRotation, KeepsTheLogits) {
  const auto tokens = FixtureTokens(GetParam())[2];
  const core::TempFolder rotated;
  const core::TempFolder skipped;
  const core::TempFolder other;
  ASSERT_NO_FATAL_FAILURE(WriteRotated(GetParam(), rotated.path(), kSeed));
  ASSERT_NO_FATAL_FAILURE(WriteRotated(GetParam(), skipped.path(), std::nullopt));
  ASSERT_NO_FATAL_FAILURE(WriteRotated(GetParam(), other.path(), kSeed + 1));
  const auto want = Logits(FixturePath(GetParam()), tokens);
  EXPECT_LT(MaxDifference(Logits(rotated.path(), tokens), want), 1e-4);
  // It would be seen if it did not run, or not the same one.
  EXPECT_GT(MaxDifference(Logits(skipped.path(), tokens), want), 1e-2);
  EXPECT_GT(MaxDifference(Logits(other.path(), tokens), want), 1e-2);
}

INSTANTIATE_TEST_SUITE_P(All, OnlineRotation,
                         testing::Values("llama", "llama_tied", "llama3_rope", "mistral_window",
                                         "qwen2", "qwen3"));

TEST(OnlineRotation, TheTapSeesTheRotatedInputAndEveryCallIsCounted) {
  const core::TempFolder folder;
  ASSERT_NO_FATAL_FAILURE(WriteRotated("llama", folder.path(), kSeed));
  auto plain = Engine::Load(FixturePath("llama"), {}).value();
  auto rotated = Engine::Load(folder.path(), {}).value();
  const auto tokens = FixtureTokens("llama")[0];
  std::vector<float> inputs[2];
  Engine* engines[2] = {plain.get(), rotated.get()};
  for (size_t i = 0; i < 2; ++i) {
    engines[i]->model().set_tap([&inputs, i](int64_t layer,
                                             std::span<const model::Linear* const> linears,
                                             const float* x, int64_t rows) {
      if (layer == 0 && linears[0]->name().ends_with("down_proj"))
        inputs[i].assign(x, x + rows * linears[0]->k());
    });
    Sequence sequence = engines[i]->NewSequence();
    const Step step{&sequence, tokens, 0};
    ASSERT_TRUE(engines[i]->Forward({&step, 1}).ok());
  }
  core::ThreadPool pool(1);
  const auto rows = static_cast<int64_t>(tokens.size());
  const int64_t k = static_cast<int64_t>(inputs[0].size()) / rows;
  kernels::Hadamard::Make(k, kSeed).Apply(inputs[0].data(), rows, pool);
  EXPECT_EQ(inputs[0], inputs[1]);
  for (const model::Linear* linear : rotated->model().linears()) {
    const bool down = linear->name().ends_with("down_proj");
    EXPECT_EQ(linear->rotations(), down ? linear->calls() : 0) << linear->name();
    EXPECT_EQ(linear->input_rotation() != nullptr, down);
  }
}

TEST(OnlineRotation, OfAnotherOrderIsRefused) {
  const core::TempFolder folder;
  ASSERT_NO_FATAL_FAILURE(WriteRotated("llama", folder.path(), kSeed, 64));
  const auto engine = Engine::Load(folder.path(), {});
  ASSERT_FALSE(engine.ok());
  EXPECT_NE(engine.error().message().find("order 64; down_proj has 176 inputs"), std::string::npos)
      << engine.error().message();
}

}  // namespace
}  // namespace octavo::engine
