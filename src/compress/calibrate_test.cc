// Choosing samples: which prompts are taken, which are left out and how they are named, shards.
#include "compress/calibrate.h"

#include <algorithm>
#include <set>

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "core/file.h"
#include "core/temp_folder.h"
#include "engine/fixture.h"

namespace octavo::compress {
namespace {

class CalibrateTest : public ::testing::Test {
 protected:
  CalibrateTest() : model_(temp_ / "model") {
    engine::WriteModelWithTokenizer("llama", "byte_level", model_);
  }

  std::string Write(const std::string& name, const std::string& content) {
    EXPECT_TRUE(core::WriteFileAtomic(temp_ / name, content).ok());
    return temp_ / name;
  }
  // `count` prompts of different texts, each a chat or plain.
  std::string WritePrompts(int count) {
    std::string jsonl;
    for (int i = 0; i < count; ++i) {
      const std::string text = "hello " + std::to_string(i);
      jsonl += i % 2 == 0
                   ? "{\"prompt\": \"" + text + "\"}\n"
                   : "{\"messages\": [{\"role\": \"user\", \"content\": \"" + text + "\"}]}\n";
    }
    return Write("prompts.jsonl", jsonl);
  }
  core::Result<CalibrateResult> Choose(const CalibrateOptions& options) {
    return ChooseSamples(model_, options, core::SilentProgress(), cancel_);
  }

  core::TempFolder temp_;
  std::string model_;
  core::CancelToken cancel_;
};

TEST_F(CalibrateTest, DrawsWithoutReplacementBySeedForAnyNumberOfThreads) {
  CalibrateOptions options;
  options.prompts = {WritePrompts(60)};
  options.samples = 40;
  options.threads = 1;
  const auto one = Choose(options);
  ASSERT_TRUE(one.ok()) << one.error().message();
  const auto& samples = one.value().calibration.samples;
  ASSERT_EQ(samples.size(), 40U);
  EXPECT_EQ(std::set(samples.begin(), samples.end()).size(), 40U);
  options.threads = 2;
  EXPECT_EQ(Choose(options).value().calibration.samples, samples);
  options.seed = 1;
  EXPECT_NE(Choose(options).value().calibration.samples, samples);
}

TEST_F(CalibrateTest, BadPromptsAreNamedAndCountedAndRefusedOnDemand) {
  CalibrateOptions options;
  const std::string first = WritePrompts(40);
  const std::string second = Write("more.jsonl",
                                   "{\"prompt\": \"fine\"}\n"
                                   "{\"prompt\": \n"
                                   "{\"question\": \"fields of another kind\"}\n"
                                   "{\"prompt\": \" \\n\"}\n"
                                   "{\"messages\": [{\"role\": \"user\", \"content\": \"\"}]}\n"
                                   "{\"prompt\": \"" +
                                       std::string(200, 'x') + "\"}\n");
  options.prompts = {first, second};
  options.context = 50;
  const auto result = Choose(options);
  ASSERT_TRUE(result.ok()) << result.error().message();
  EXPECT_EQ(result.value().calibration.samples.size(), 41U);
  std::vector<std::string> named;
  for (const BadPrompt& bad : result.value().bad)
    named.push_back(DescribeBadPrompt(result.value().files, bad));
  ASSERT_EQ(named.size(), 5U);
  EXPECT_EQ(named[0].find(second + ": line 2: byte "), 0U) << named[0];
  EXPECT_EQ(named[1], second + ": line 3: expected an object with either 'messages' or 'prompt'");
  EXPECT_EQ(named[2], second + ": line 4: nothing is written in it");
  EXPECT_EQ(named[3], second + ": line 5: nothing is written in it");
  EXPECT_NE(named[4].find("line 6: "), std::string::npos);
  EXPECT_NE(named[4].find(" tokens, longer than the context of 50"), std::string::npos) << named[4];
  EXPECT_EQ(result.value().calibration.summary["bad_prompts"],
            (core::Json{{"malformed", 2}, {"empty", 2}, {"too_long", 1}}));

  options.refuse_bad_prompts = true;
  const auto refused = Choose(options);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().message().find("5 bad prompts; " + second + ": line 2: "), 0U)
      << refused.error().message();
}

TEST_F(CalibrateTest, TooFewSamplesAreRefusedUnlessToldOtherwise) {
  CalibrateOptions options;
  options.prompts = {WritePrompts(31)};
  const auto refused = Choose(options);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().message().find("31 usable samples, expected 32 or more"), 0U);
  options.min_samples = 31;
  EXPECT_TRUE(Choose(options).ok());
}

TEST_F(CalibrateTest, TheSummaryHasNothingOfWhatThePromptsSay) {
  CalibrateOptions options;
  options.prompts = {Write("p.jsonl", "{\"prompt\": \"sesame\"}\n{\"sesame\": 1}")};
  options.min_samples = 1;
  const auto result = Choose(options);
  ASSERT_TRUE(result.ok()) << result.error().message();
  EXPECT_EQ(result.value().calibration.summary.dump().find("sesame"), std::string::npos);
}

TEST_F(CalibrateTest, TextWindowsDoNotOverlapAndLeaveOutWhatIsSkipped) {
  std::string text;
  for (int i = 0; i < 400; ++i) text += std::to_string(i) + " ";
  CalibrateOptions options;
  options.text = Write("text.txt", text);
  options.context = 16;
  options.skip_tokens = 100;
  options.samples = 1000;
  const auto result = Choose(options);
  ASSERT_TRUE(result.ok()) << result.error().message();
  const auto tokenizer = text::Tokenizer::Load(model_).value();
  const auto ids = tokenizer.Encode(text, false).value();
  std::vector<std::vector<int32_t>> expected;
  for (size_t begin = 100; begin + 16 <= ids.size(); begin += 16)
    expected.emplace_back(ids.begin() + static_cast<std::ptrdiff_t>(begin),
                          ids.begin() + static_cast<std::ptrdiff_t>(begin) + 16);
  auto samples = result.value().calibration.samples;
  EXPECT_NE(samples, expected);  // the order is drawn
  std::sort(samples.begin(), samples.end());
  std::sort(expected.begin(), expected.end());
  EXPECT_EQ(samples, expected);
}

TEST_F(CalibrateTest, ShardsMergeIntoTheBytesOfAWholeRun) {
  CalibrateOptions options;
  options.prompts = {WritePrompts(50)};
  Calibration whole = Choose(options).value().calibration;
  ASSERT_TRUE(WriteCalibration(temp_ / "whole", whole).ok());
  options.shards = 3;
  for (const int64_t i : {1, 2, 3}) {
    options.shard = i;
    Calibration part = Choose(options).value().calibration;
    ASSERT_TRUE(WriteCalibration(temp_ / std::to_string(i), part).ok());
  }
  const auto refused = ReadCalibration(temp_ / "2");
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.error().message().find("merge"), std::string::npos);
  EXPECT_TRUE(ReadCalibration(temp_ / "2", true).ok());

  auto merged = MergeCalibrations({temp_ / "3", temp_ / "1", temp_ / "2"});
  ASSERT_TRUE(merged.ok()) << merged.error().message();
  ASSERT_TRUE(WriteCalibration(temp_ / "merged", merged.value()).ok());
  EXPECT_EQ(merged.value().digest, whole.digest);
  for (const char* name : {kCalibrationName, kTokensName}) {
    EXPECT_EQ(core::ReadFile(temp_ / "merged" + "/" + name).value(),
              core::ReadFile(temp_ / "whole" + "/" + name).value());
  }
  EXPECT_FALSE(MergeCalibrations({temp_ / "1", temp_ / "2"}).ok());
  EXPECT_FALSE(MergeCalibrations({temp_ / "1", temp_ / "2", temp_ / "2"}).ok());
  EXPECT_FALSE(MergeCalibrations({temp_ / "whole"}).ok());
  options.seed = 5;
  Calibration other = Choose(options).value().calibration;
  ASSERT_TRUE(WriteCalibration(temp_ / "3", other).ok());
  const auto mixed = MergeCalibrations({temp_ / "1", temp_ / "2", temp_ / "3"});
  ASSERT_FALSE(mixed.ok());
  EXPECT_NE(mixed.error().message().find("same command"), std::string::npos);
}

TEST_F(CalibrateTest, RangesAreTheSameBytesForAnyThreadsAndShards) {
  CalibrateOptions options;
  options.prompts = {WritePrompts(40)};
  options.threads = 1;
  const auto make = [&](const std::string& name) {
    auto result = Choose(options).value();
    const auto status = ObserveRanges(model_, options, result, core::SilentProgress(), cancel_);
    EXPECT_TRUE(status.ok()) << status.error().message();
    EXPECT_TRUE(WriteCalibration(temp_ / name, result.calibration).ok());
    return result.calibration.digest;
  };
  const std::string whole = make("whole");
  const auto read = ReadCalibration(temp_ / "whole");
  ASSERT_TRUE(read.ok()) << read.error().message();
  // Three blocks of q/k/v, o, gate/up and down, and lm_head.
  ASSERT_EQ(read.value().ranges.size(), 13U);
  EXPECT_EQ(read.value().ranges[0].modules,
            (std::vector<std::string>{"model.layers.0.self_attn.q_proj",
                                      "model.layers.0.self_attn.k_proj",
                                      "model.layers.0.self_attn.v_proj"}));
  EXPECT_EQ(read.value().ranges[12].modules, std::vector<std::string>{"lm_head"});
  for (const InputRanges& input : read.value().ranges) {
    EXPECT_EQ(input.rows, read.value().tokens());
    EXPECT_EQ(input.magnitudes.count(),
              input.rows * static_cast<int64_t>(input.channel_absmax.size()));
    EXPECT_GT(input.absmax(), 0);
  }
  options.threads = 2;
  EXPECT_EQ(make("threads"), whole);
  options.states.max_memory_bytes = 0;  // hidden states on disk
  options.states.spill_folder = temp_.path();
  EXPECT_EQ(make("disk"), whole);
  options.shards = 2;
  options.shard = 1;
  make("1");
  options.shard = 2;
  make("2");
  auto merged = MergeCalibrations({temp_ / "1", temp_ / "2"});
  ASSERT_TRUE(merged.ok()) << merged.error().message();
  ASSERT_TRUE(WriteCalibration(temp_ / "merged", merged.value()).ok());
  EXPECT_EQ(merged.value().digest, whole);
  EXPECT_EQ(core::ReadFile(temp_ / "merged/ranges.safetensors").value(),
            core::ReadFile(temp_ / "whole/ranges.safetensors").value());
}

TEST_F(CalibrateTest, TrafficIsComparedByTextAndByWhatTheModelComputes) {
  CalibrateOptions options;
  options.prompts = {WritePrompts(60)};
  std::string digits;
  for (int i = 0; i < 60; ++i)
    digits += "{\"prompt\": \"" + std::string(30, static_cast<char>('0' + i % 10)) + "\"}\n";
  auto result = Choose(options).value();
  const auto check = [&](const std::string& file, bool run_model) {
    TrafficOptions traffic;
    traffic.files = {file};
    auto report =
        CheckTraffic(model_, options, traffic, run_model, result, core::SilentProgress(), cancel_);
    EXPECT_TRUE(report.ok()) << report.error().message();
    return std::move(report).value();
  };
  EXPECT_FALSE(check(options.prompts[0], true).differs());
  EXPECT_EQ(result.calibration.summary["traffic"]["differs"], false);
  const TrafficReport report = check(Write("digits.jsonl", digits), true);
  EXPECT_EQ(report.findings.size(), 6U + 13U + 1U);
  EXPECT_TRUE(report.differs());
  EXPECT_TRUE(report.findings.back().differs);
  EXPECT_EQ(report.findings.back().test, "hidden states");
  EXPECT_EQ(result.calibration.summary["traffic"]["differs"], true);
  EXPECT_EQ(check(Write("digits.jsonl", digits), false).findings.size(), 6U);

  TrafficOptions few;
  few.files = {Write("few.jsonl", "{\"prompt\": \"a\"}")};
  EXPECT_FALSE(
      CheckTraffic(model_, options, few, false, result, core::SilentProgress(), cancel_).ok());
}

class CalibrationFolderTest : public CalibrateTest {
 protected:
  CalibrationFolderTest() {
    CalibrateOptions options;
    options.prompts = {WritePrompts(40)};
    calibration_ = Choose(options).value().calibration;
    EXPECT_TRUE(WriteCalibration(folder_, calibration_).ok());
  }
  std::string folder_ = temp_ / "c";
  Calibration calibration_;
};

TEST_F(CalibrationFolderTest, ReadsWhatWasWrittenAndOnlyTheOwnerMay) {
  const auto read = ReadCalibration(folder_);
  ASSERT_TRUE(read.ok()) << read.error().message();
  EXPECT_EQ(read.value().samples, calibration_.samples);
  EXPECT_EQ(read.value().digest, calibration_.digest);
  EXPECT_EQ(read.value().summary, calibration_.summary);
  for (const char* name : {kCalibrationName, kTokensName}) {
    struct stat status {};
    ASSERT_EQ(::stat((folder_ + "/" + name).c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777, 0600U) << name;
  }
}

TEST_F(CalibrationFolderTest, ReplacesACalibrationAndNothingElse) {
  EXPECT_TRUE(WriteCalibration(folder_, calibration_).ok());
  const auto refused = WriteCalibration(model_, calibration_);
  ASSERT_FALSE(refused.ok());
  EXPECT_TRUE(core::FileExists(model_ + "/config.json"));
}

TEST_F(CalibrationFolderTest, EveryChangedByteOfTheTokensIsNoticed) {
  const std::string path = folder_ + "/" + kTokensName;
  const std::string bytes = core::ReadFile(path).value();
  for (size_t i = 0; i < bytes.size(); i += 37) {
    std::string changed = bytes;
    changed[i] = static_cast<char>(changed[i] ^ 1);
    ASSERT_TRUE(core::WriteFileAtomic(path, changed).ok());
    EXPECT_FALSE(ReadCalibration(folder_).ok()) << i;
  }
}

// Somebody who can write calibration.json can write fitting hashes too.
TEST_F(CalibrationFolderTest, HostileSamplesAreRefused) {
  const auto refused = [&](const char* what, auto change) {
    Calibration calibration = calibration_;
    change(calibration);
    ASSERT_TRUE(WriteCalibration(temp_ / "hostile", calibration).ok()) << what;
    const auto read = ReadCalibration(temp_ / "hostile");
    ASSERT_FALSE(read.ok()) << what;
    EXPECT_NE(read.error().message().find(what), std::string::npos) << read.error().message();
  };
  refused("outside the vocabulary", [](Calibration& c) { c.samples[3][0] = 1 << 20; });
  refused("outside the vocabulary", [](Calibration& c) { c.samples[3][0] = -1; });
  refused("sample 2 is", [](Calibration& c) { c.samples[2].clear(); });
  refused("sample 2 is", [](Calibration& c) { c.samples[2].resize(100000); });
  refused("'places' does not ascend", [](Calibration& c) { c.places[5] = 1; });
  refused("'offsets' must", [](Calibration& c) { c.places.pop_back(); });
  refused("'context' is missing", [](Calibration& c) { c.summary.erase("context"); });
}

}  // namespace
}  // namespace octavo::compress
