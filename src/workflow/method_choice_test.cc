#include "workflow/method_choice.h"

#include <algorithm>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "compress/calibration.h"
#include "core/file.h"
#include "core/json.h"
#include "core/random.h"
#include "core/temp_folder.h"

namespace octavo::workflow {
namespace {

const std::string kModel = std::string(OCTAVO_TESTDATA) + "/architectures/llama";

std::string MakeCalibration(const core::TempFolder& temp, int64_t samples) {
  core::Random random(11);
  compress::Calibration calibration;
  for (int64_t i = 0; i < samples; ++i) {
    std::vector<int32_t> ids;
    for (int64_t t = 0; t < 30 + 5 * i; ++t) ids.push_back(static_cast<int32_t>(random.Below(320)));
    calibration.samples.push_back(std::move(ids));
    calibration.places.push_back(i);
  }
  calibration.summary = {{"schema", 1}, {"vocab_size", 320}, {"context", 256}};
  const std::string folder = temp / "calibration";
  EXPECT_TRUE(compress::WriteCalibration(folder, calibration).ok());
  return folder;
}

core::Result<MethodChoice> Choose(const core::TempFolder& temp,
                                  const compress::QuantizeOptions& options) {
  return ChooseMethod(kModel, temp / "out", options, core::SilentProgress(), core::CancelToken());
}

TEST(MethodChoice, TakesWhatDivergesLeastAndLeavesNothingBehind) {
  const core::TempFolder temp;
  for (const char* scheme : {"w8a16", "w8a8", "w8a8-static", "w4a16-g16"}) {
    compress::QuantizeOptions options;
    options.scheme = scheme;
    options.calibration = MakeCalibration(temp, 12);
    const auto candidates = MethodCandidates(options);
    ASSERT_TRUE(candidates.ok());
    const auto choice = Choose(temp, options);
    ASSERT_TRUE(choice.ok()) << scheme << ": " << choice.error().message();
    const std::vector<MethodTrial>& trials = choice.value().trials;
    ASSERT_EQ(trials.size(), candidates.value().size());
    const double least = std::min_element(trials.begin(), trials.end(), [](auto& a, auto& b) {
                           return a.kld < b.kld;
                         })->kld;
    EXPECT_GT(least, 0) << scheme;
    EXPECT_LE(trials[choice.value().best].kld * 0.98, least) << scheme;
    EXPECT_FALSE(core::FolderExists(temp / ".out.trial"));
    EXPECT_FALSE(core::FolderExists(temp / "out"));

    // What was measured is told by the artifact that is made with it.
    options.recipe = choice.value().recipe();
    options.choice = choice.value().ToJson();
    ASSERT_TRUE(compress::Quantize(kModel, temp / "out", options, core::SilentProgress(),
                                   core::CancelToken())
                    .ok());
    const auto manifest = core::ReadJsonFile(temp / "out/octavo.json");
    ASSERT_TRUE(manifest.ok());
    const core::Json& told = manifest.value()["details"]["method_choice"];
    EXPECT_EQ(told["chosen"], Describe(options.recipe));
    EXPECT_EQ(told["trials"].size(), trials.size());
    ASSERT_TRUE(core::RemoveAll(temp / "out").ok());
  }
}

TEST(MethodChoice, KeepsWhatTheUserAskedFor) {
  compress::QuantizeOptions options;
  options.scheme = "w8a8";
  options.recipe.rotate = "online";
  const auto candidates = MethodCandidates(options);
  ASSERT_TRUE(candidates.ok());
  EXPECT_EQ(candidates.value().size(), 3U);  // rtn, gptq, gptq with smoothing
  for (const auto& recipe : candidates.value()) EXPECT_EQ(recipe.rotate, "online");
  options.recipe.rotate = "none";
  const auto free = MethodCandidates(options);
  ASSERT_TRUE(free.ok());
  for (const auto& recipe : free.value()) EXPECT_NE(recipe.rotate, "online");
}

TEST(MethodChoice, SaysWhatItNeeds) {
  const core::TempFolder temp;
  compress::QuantizeOptions options;
  const auto message = [&] {
    const auto choice = Choose(temp, options);
    EXPECT_FALSE(choice.ok());
    return choice.ok() ? std::string() : choice.error().message();
  };
  EXPECT_NE(message().find("--calibration"), std::string::npos);
  options.calibration = MakeCalibration(temp, 5);
  EXPECT_NE(message().find("needs 8 samples"), std::string::npos);
  options.scheme = "mixed:5.0";
  EXPECT_NE(message().find("--sensitivity"), std::string::npos);
}

}  // namespace
}  // namespace octavo::workflow
