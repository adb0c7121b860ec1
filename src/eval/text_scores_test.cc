// Paired window scores: against Hugging Face's logits, and against plain loops over whole windows.
#include "eval/text_scores.h"

#include <algorithm>
#include <cmath>

#include <gtest/gtest.h>

#include "core/random.h"
#include "engine/fixture.h"

namespace octavo::eval {
namespace {

using engine::Engine;
using engine::TokenId;

TextSpec Spec(int64_t context, int64_t chunks, Score score) {
  return {"text", "unused", context, chunks, score};
}

std::vector<TokenId> RandomIds(size_t count) {
  core::Random random(9);
  std::vector<TokenId> ids(count);
  for (TokenId& id : ids) id = static_cast<TokenId>(random.Below(320));
  return ids;
}

core::Result<TextScores> Score(Engine* baseline, Engine& candidate, const TextSpec& spec,
                               const std::vector<TokenId>& ids) {
  return ScoreText(baseline, candidate, spec, ids, core::SilentProgress(), core::CancelToken());
}

double LogSumExp(std::span<const float> row) {
  const double max = *std::max_element(row.begin(), row.end());
  double sum = 0;
  for (float x : row) sum += std::exp(x - max);
  return max + std::log(sum);
}

// The logits of a whole window in one call, [T, V].
std::vector<float> WindowLogits(Engine& engine, std::span<const TokenId> window) {
  engine::Sequence sequence = engine.NewSequence();
  const engine::Step step{&sequence, window, 0};
  const auto logits = engine.Forward({&step, 1});
  EXPECT_TRUE(logits.ok());
  return {logits.value().begin(), logits.value().end()};
}

// 96 ids and the logits that transformers computed for them in f32; ours may differ by 2e-4, so a
// mean NLL by 4e-4.
TEST(ScoreText, PerplexityIsThatOfTransformers) {
  const auto engine = engine::LoadFixture("llama");
  const std::vector<TokenId> ids = engine::FixtureTokens("llama")[2];
  const auto file =
      format::SafetensorsFile::Open(engine::FixturePath("llama") + "/logits.safetensors");
  ASSERT_TRUE(file.ok());
  const tensor::TensorView* const view = file.value().Find("logits.2");
  ASSERT_NE(view, nullptr);
  std::vector<float> logits(static_cast<size_t>(view->elements()));
  std::memcpy(logits.data(), view->bytes.data(), view->bytes.size());
  ASSERT_EQ(ids.size(), 96u);
  ASSERT_EQ(logits.size(), 96u * 320u);
  for (const auto& [score, first] :
       {std::pair(Score::kSecondHalf, size_t{48}), std::pair(Score::kAll, size_t{1})}) {
    double sum = 0;
    for (size_t target = first; target < 96; ++target) {
      const auto row = std::span(logits).subspan((target - 1) * 320, 320);
      sum += LogSumExp(row) - static_cast<double>(row[static_cast<size_t>(ids[target])]);
    }
    const auto scores = Score(nullptr, *engine, Spec(96, 0, score), ids);
    ASSERT_TRUE(scores.ok()) << scores.error().message();
    EXPECT_EQ(scores.value().windows, 1);
    EXPECT_EQ(scores.value().tokens, static_cast<int64_t>(96 - first));
    EXPECT_NEAR(scores.value().candidate_nll.Mean(0.95).value,
                sum / static_cast<double>(96 - first), 4e-4);
  }
}

// Windows longer than one pass. The engine's logits do not depend on how a window is cut, so only
// rounding remains.
TEST(ScoreText, AgreesWithPlainLoopsOverWholeWindows) {
  const auto baseline = engine::LoadFixture("llama");
  const auto candidate = engine::LoadFixture("llama_tied");
  const std::vector<TokenId> ids = RandomIds(3 * 200 + 150);
  const auto scores = Score(baseline.get(), *candidate, Spec(200, 0, Score::kSecondHalf), ids);
  ASSERT_TRUE(scores.ok()) << scores.error().message();
  EXPECT_EQ(scores.value().windows, 3);  // the partial window is dropped
  EXPECT_EQ(scores.value().tokens, 300);
  EXPECT_EQ(scores.value().klds.size(), 300u);

  double baseline_nll = 0;
  double candidate_nll = 0;
  double kld = 0;
  double same = 0;
  for (size_t w = 0; w < 3; ++w) {
    const auto window = std::span(ids).subspan(w * 200, 200);
    const std::vector<float> a = WindowLogits(*baseline, window);
    const std::vector<float> b = WindowLogits(*candidate, window);
    for (size_t target = 100; target < 200; ++target) {
      const auto row_a = std::span(a).subspan((target - 1) * 320, 320);
      const auto row_b = std::span(b).subspan((target - 1) * 320, 320);
      const double lse_a = LogSumExp(row_a);
      const double lse_b = LogSumExp(row_b);
      baseline_nll += lse_a - static_cast<double>(row_a[static_cast<size_t>(window[target])]);
      candidate_nll += lse_b - static_cast<double>(row_b[static_cast<size_t>(window[target])]);
      for (size_t v = 0; v < 320; ++v) {
        const double log_p = row_a[v] - lse_a;
        kld += std::exp(log_p) * (log_p - (row_b[v] - lse_b));
      }
      same += std::max_element(row_a.begin(), row_a.end()) - row_a.begin() ==
                      std::max_element(row_b.begin(), row_b.end()) - row_b.begin()
                  ? 1
                  : 0;
    }
  }
  EXPECT_NEAR(scores.value().baseline_nll.Mean(0.95).value, baseline_nll / 300, 1e-10);
  EXPECT_NEAR(scores.value().candidate_nll.Mean(0.95).value, candidate_nll / 300, 1e-10);
  EXPECT_NEAR(scores.value().nll_difference.Mean(0.95).value, (candidate_nll - baseline_nll) / 300,
              1e-10);
  EXPECT_NEAR(scores.value().kld.Mean(0.95).value, kld / 300, 1e-10);
  EXPECT_DOUBLE_EQ(scores.value().same_top.Mean(0.95).value, same / 300);
  EXPECT_GT(kld / 300, 0.01);  // the two models do differ
}

TEST(ScoreText, AModelAgainstItselfLosesNothing) {
  const auto a = engine::LoadFixture("qwen3");
  const auto b = engine::LoadFixture("qwen3");
  const auto scores = Score(a.get(), *b, Spec(32, 4, Score::kAll), RandomIds(200));
  ASSERT_TRUE(scores.ok()) << scores.error().message();
  EXPECT_EQ(scores.value().windows, 4);
  EXPECT_EQ(scores.value().tokens, 4 * 31);
  EXPECT_EQ(scores.value().nll_difference.Mean(0.95).value, 0);
  EXPECT_EQ(scores.value().kld.Mean(0.95).value, 0);
  EXPECT_EQ(scores.value().same_top.Mean(0.95).value, 1);
}

TEST(ScoreText, TheShortestWindowHasOneTarget) {
  const auto engine = engine::LoadFixture("llama");
  for (const enum Score score : {Score::kSecondHalf, Score::kAll}) {
    const auto scores = Score(nullptr, *engine, Spec(2, 5, score), RandomIds(10));
    ASSERT_TRUE(scores.ok()) << scores.error().message();
    EXPECT_EQ(scores.value().tokens, 5);
  }
}

TEST(ScoreText, RefusesWhatDoesNotFit) {
  const auto engine = engine::LoadFixture("llama");
  const auto too_few = Score(nullptr, *engine, Spec(64, 4, Score::kAll), RandomIds(4 * 64 - 1));
  ASSERT_FALSE(too_few.ok());
  EXPECT_NE(too_few.error().message().find("3 windows of 64, and 4 are asked for"),
            std::string::npos)
      << too_few.error().message();
  EXPECT_FALSE(Score(nullptr, *engine, Spec(64, 0, Score::kAll), RandomIds(63)).ok());
  const auto too_long = Score(nullptr, *engine, Spec(257, 0, Score::kAll), RandomIds(600));
  ASSERT_FALSE(too_long.ok());
  EXPECT_NE(too_long.error().message().find("at most 256"), std::string::npos)
      << too_long.error().message();
  std::vector<TokenId> outside = RandomIds(64);
  outside[5] = 320;
  EXPECT_FALSE(Score(nullptr, *engine, Spec(64, 0, Score::kAll), outside).ok());
}

// Cancels after so many windows.
class CancellingProgress : public core::Progress {
 public:
  CancellingProgress(core::CancelToken& cancel, int windows)
      : cancel_(cancel), windows_left_(windows) {}
  void Begin(std::string_view, int64_t, std::string_view) override {}
  void Advance(int64_t) override {
    if (--windows_left_ == 0) cancel_.Cancel();
  }
  void Note(std::string_view) override {}
  void End() override {}

 private:
  core::CancelToken& cancel_;
  int windows_left_;
};

TEST(ScoreText, CancelledItKeepsTheWindowsThatAreDone) {
  const auto engine = engine::LoadFixture("llama");
  core::CancelToken cancel;
  CancellingProgress progress(cancel, 2);
  const auto scores =
      ScoreText(nullptr, *engine, Spec(64, 0, Score::kAll), RandomIds(640), progress, cancel);
  ASSERT_TRUE(scores.ok()) << scores.error().message();
  EXPECT_FALSE(scores.value().complete);
  EXPECT_EQ(scores.value().windows, 2);
}

}  // namespace
}  // namespace octavo::eval
