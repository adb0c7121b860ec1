// Recipes on a tiny model: each makes an artifact that runs, the same one for any threads and after
// any number of kills.
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "compress/block_store.h"
#include "compress/calibration.h"
#include "compress/quantize_fixture.h"
#include "compress/sensitivity_document.h"
#include "core/file.h"
#include "core/random.h"
#include "core/temp_folder.h"
#include "engine/engine.h"

namespace octavo::compress {
namespace {

// A calibration of random tokens for the fixtures.
std::string MakeCalibration(const core::TempFolder& temp) {
  core::Random random(11);
  Calibration calibration;
  for (int64_t i = 0; i < 6; ++i) {
    std::vector<int32_t> ids;
    for (int64_t t = 0; t < 50 + 20 * i; ++t)
      ids.push_back(static_cast<int32_t>(random.Below(320)));
    calibration.samples.push_back(std::move(ids));
    calibration.places.push_back(i);
  }
  calibration.summary = {{"schema", 1}, {"vocab_size", 320}, {"context", 256}};
  const std::string folder = temp / "calibration";
  const auto written = WriteCalibration(folder, calibration);
  EXPECT_TRUE(written.ok()) << written.error().message();
  return folder;
}

struct Case {
  const char* name;
  const char* scheme;
  RecipeOptions recipe;
};

std::vector<Case> Cases() {
  std::vector<Case> out = {
      {"rtn_fold", "w8a8", {}},           {"gptq", "w8a16", {}},
      {"gptq_online", "w8a8", {}},        {"smooth", "w8a8", {}},
      {"smooth_auto_fold", "w8a8", {}},   {"awq", "w4a16-g16", {}},
      {"gptq_groups", "w4a8-g16", {}},    {"static_gptq_fold", "w8a8-static", {}},
      {"static_plain", "w8a8-static", {}}};
  for (Case& c : out) {
    const std::string name = c.name;
    if (name.find("gptq") != std::string::npos) c.recipe.method = "gptq";
    if (name == "awq") c.recipe.method = "awq";
    if (name.find("fold") != std::string::npos) c.recipe.rotate = "fold";
    if (name.find("online") != std::string::npos) c.recipe.rotate = "online";
    if (name == "smooth") c.recipe.smooth = "0.5";
    if (name.find("auto") != std::string::npos) c.recipe.smooth = "auto";
  }
  return out;
}

class Recipes : public testing::TestWithParam<Case> {
 protected:
  core::Result<QuantizeSummary> Make(const std::string& model, const std::string& out, int threads,
                                     const core::CancelToken& cancel = {},
                                     core::Progress& progress = core::SilentProgress()) const {
    QuantizeOptions options;
    options.scheme = GetParam().scheme;
    options.recipe = GetParam().recipe;
    options.calibration = calibration_;
    options.threads = threads;
    options.max_states_bytes = threads == 1 ? 0 : int64_t{1} << 30;
    return Quantize(kModels + model, out, options, progress, cancel);
  }
  const core::TempFolder temp_;
  const std::string calibration_ = MakeCalibration(temp_);
};

TEST_P(Recipes, MakeArtifactsThatRunOnEveryArchitecture) {
  for (const char* model :
       {"llama", "llama3_rope", "llama_tied", "mistral_window", "qwen2", "qwen3"}) {
    const auto made = Make(model, temp_ / model, 2);
    ASSERT_TRUE(made.ok()) << model << ": " << made.error().message();
    const auto base = engine::Engine::Load(kModels + model, {});
    const auto quantized = engine::Engine::Load(temp_ / model, {});
    ASSERT_TRUE(quantized.ok()) << model << ": " << quantized.error().message();
    const std::vector<int32_t> ids = {5, 17, 200, 9, 33, 101, 64, 3};
    std::vector<std::vector<float>> logits;
    for (engine::Engine* engine : {base.value().get(), quantized.value().get()}) {
      engine::Sequence sequence = engine->NewSequence();
      const engine::Step step{&sequence, ids, 0};
      const auto out = engine->Forward({&step, 1}).value();
      logits.emplace_back(out.begin(), out.end());
    }
    double error = 0;
    double energy = 0;
    for (size_t i = 0; i < logits[0].size(); ++i) {
      const double miss = static_cast<double>(logits[0][i]) - static_cast<double>(logits[1][i]);
      error += miss * miss;
      energy += static_cast<double>(logits[0][i]) * static_cast<double>(logits[0][i]);
    }
    // A 4-bit step is 16 times an 8-bit one. Random weights leave some tenths of the logits' energy
    // with 4 bits and some thousandths with 8; a wrong fold leaves about 2.
    const bool four = std::string_view(GetParam().scheme).starts_with("w4");
    EXPECT_LT(error / energy, four ? 0.4 : 0.02) << model;
    EXPECT_GT(error, 0) << model;
  }
}

TEST_P(Recipes, TheSameBytesForAnyThreadsAndForStatesOnDisk) {
  ASSERT_TRUE(Make("qwen2", temp_ / "a", 1).ok());
  ASSERT_TRUE(Make("qwen2", temp_ / "b", 3).ok());
  EXPECT_EQ(Contents(temp_ / "a"), Contents(temp_ / "b"));
  EXPECT_FALSE(core::FolderExists(BlockStore::FolderFor(temp_ / "a")));
}

// Cancels after so many reports of progress, and keeps what it is told.
class Stopper final : public core::Progress {
 public:
  Stopper(core::CancelToken& token, int calls) : token_(token), calls_(calls) {}
  void Begin(std::string_view, int64_t, std::string_view) override {}
  void Advance(int64_t) override {
    if (--calls_ <= 0) token_.Cancel();
  }
  void Note(std::string_view text) override { notes_.append(text).append("\n"); }
  void End() override {}
  const std::string& notes() const { return notes_; }

 private:
  core::CancelToken& token_;
  int calls_;
  std::string notes_;
};

TEST_P(Recipes, AnInterruptedRunGoesOnAndEndsInTheSameBytes) {
  ASSERT_TRUE(Make("llama_tied", temp_ / "whole", 2).ok());
  int stopped = 0;
  std::string notes;
  for (int calls = 1; calls <= 6; ++calls) {
    core::CancelToken token;
    Stopper stopper(token, calls);
    const auto made = Make("llama_tied", temp_ / "again", 2, token, stopper);
    notes += stopper.notes();
    if (made.ok()) break;
    EXPECT_EQ(made.error().code(), core::ErrorCode::kInterrupted);
    ++stopped;
  }
  EXPECT_GT(stopped, 0);
  EXPECT_NE(notes.find("going on after block 1 of "), std::string::npos) << notes;
  const auto last = Make("llama_tied", temp_ / "again", 2);
  ASSERT_TRUE(last.ok()) << last.error().message();
  EXPECT_EQ(Contents(temp_ / "whole"), Contents(temp_ / "again"));
}

INSTANTIATE_TEST_SUITE_P(All, Recipes, testing::ValuesIn(Cases()),
                         [](const auto& tested) { return std::string(tested.param.name); });

TEST(RecipesRefuse, WhatNeedsACalibrationWithoutOne) {
  const core::TempFolder temp;
  QuantizeOptions options;
  options.scheme = "w8a8";
  options.recipe.method = "gptq";
  const auto refused = Quantize(kModels + "llama", temp / "out", options, core::SilentProgress(),
                                core::CancelToken());
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.error().message().find("--calibration"), std::string::npos);
  options.recipe = {};
  options.scheme = "w8a8-static";
  EXPECT_FALSE(Quantize(kModels + "llama", temp / "out", options, core::SilentProgress(),
                        core::CancelToken())
                   .ok());
}

TEST(RecipesRefuse, TokensOfAnotherModel) {
  const core::TempFolder temp;
  Calibration calibration;
  calibration.samples = {{1, 2, 100000}};
  calibration.places = {0};
  calibration.summary = {{"schema", 1}, {"vocab_size", 200000}, {"context", 256}};
  ASSERT_TRUE(WriteCalibration(temp / "calibration", calibration).ok());
  QuantizeOptions options;
  options.recipe.method = "gptq";
  options.calibration = temp / "calibration";
  const auto refused = Quantize(kModels + "llama", temp / "out", options, core::SilentProgress(),
                                core::CancelToken());
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.error().message().find("100000"), std::string::npos);
}

TEST(Mixed, AnInterruptedRunGoesOnMeasuringAndEndsInTheSameBytes) {
  const core::TempFolder temp;
  QuantizeOptions options;
  options.scheme = "mixed:6";
  options.recipe.method = "gptq";
  options.calibration = MakeCalibration(temp);
  const auto make = [&](const std::string& out, const core::CancelToken& token,
                        core::Progress& progress) {
    return Quantize(kModels + "llama", temp / out, options, progress, token);
  };
  ASSERT_TRUE(make("whole", {}, core::SilentProgress()).ok());
  std::string notes;
  // Each run observes three blocks, then measures the groups that are left, then walks.
  for (const int calls : {5, 6, 9, 5, 40}) {
    core::CancelToken token;
    Stopper stopper(token, calls);
    const auto made = make("again", token, stopper);
    notes += stopper.notes();
    if (made.ok()) break;
    EXPECT_EQ(made.error().code(), core::ErrorCode::kInterrupted);
  }
  ASSERT_TRUE(make("again", {}, core::SilentProgress()).ok());
  EXPECT_NE(notes.find("going on after group "), std::string::npos) << notes;
  EXPECT_NE(notes.find("going on after group 12 of 12"), std::string::npos) << notes;
  EXPECT_EQ(Contents(temp / "whole"), Contents(temp / "again"));
  EXPECT_FALSE(core::FileExists(SensitivityJournal::PathFor(temp / "again")));
}

TEST(Mixed, GroupsKeptForAnotherCalibrationAreMeasuredAgain) {
  const core::TempFolder temp;
  const auto source = format::ModelFolder::Open(kModels + "llama").value();
  const SensitivityOptions options = {{{4, 32, tensor::Activations::kFloat}}};
  const auto open = [&](const std::string& calibration) {
    return SensitivityJournal::Open(temp / "out", source, 3, calibration, options).value();
  };
  auto journal = open("a");
  const GroupSensitivity group = {
      0, FusedGroup::kQkv, 3 * 48, {{options.schemes[0], 649, 0.1, 1.0 / 3}}};
  ASSERT_TRUE(journal.Add(group).ok());
  const auto kept = open("a").groups();
  ASSERT_EQ(kept.size(), 1U);
  EXPECT_EQ(kept[0].losses[0].bits, 649);
  EXPECT_EQ(kept[0].losses[0].kld, 1.0 / 3);
  EXPECT_TRUE(open("b").groups().empty());
  ASSERT_TRUE(core::WriteFileAtomic(SensitivityJournal::PathFor(temp / "out"), "{").ok());
  EXPECT_TRUE(open("a").groups().empty());
}

TEST(KeepRules, GiveGroupsAnotherScheme) {
  const core::TempFolder temp;
  QuantizeOptions options;
  options.scheme = "w8a8";
  options.keep = {"down_proj=w8a16", "layers\\.0\\.self_attn\\.[qkv]_proj=16"};
  ASSERT_TRUE(Quantize(kModels + "llama", temp / "out", options, core::SilentProgress(),
                       core::CancelToken())
                  .ok());
  const auto made = format::ModelFolder::Open(temp / "out").value();
  const auto quantization = format::QuantizationConfig::Parse(made.config()).value();
  EXPECT_EQ(tensor::SchemeName(*quantization.SchemeOf("model.layers.1.mlp.down_proj")), "w8a16");
  EXPECT_EQ(tensor::SchemeName(*quantization.SchemeOf("model.layers.1.mlp.up_proj")), "w8a8");
  EXPECT_FALSE(quantization.SchemeOf("model.layers.0.self_attn.k_proj").has_value());
  EXPECT_TRUE(engine::Engine::Load(temp / "out", {}).ok());
  options.keep = {"nothing=16"};
  EXPECT_FALSE(Quantize(kModels + "llama", temp / "out2", options, core::SilentProgress(),
                        core::CancelToken())
                   .ok());
  options.keep = {"([=16"};
  EXPECT_FALSE(Quantize(kModels + "llama", temp / "out2", options, core::SilentProgress(),
                        core::CancelToken())
                   .ok());
}

}  // namespace
}  // namespace octavo::compress
