// The evaluation document of two tiny models, from folders and a suite to a verdict.
#include "eval/evaluate.h"

#include <algorithm>
#include <cstdlib>

#include <gtest/gtest.h>

#include "core/file.h"
#include "engine/fixture.h"
#include "eval/gate.h"
#include "format/manifest.h"

namespace octavo::eval {
namespace {

class EvaluateTest : public ::testing::Test {
 protected:
  EvaluateTest() {
    std::string pattern = ::testing::TempDir() + "octavo_evaluate_XXXXXX";
    folder_ = ::mkdtemp(pattern.data());
    std::string text;
    for (int i = 0; i < 400; ++i) text += i % 3 == 0 ? "hello world " : "the quick brown fox ";
    Write("words.txt", text);
    Write("prompts.jsonl",
          "{\"prompt\": \"hello\"}\n{\"messages\": [{\"role\": \"user\", \"content\": \"hi\"}]}\n");
    suite_.texts = {{"words", Path("words.txt"), 64, 3, Score::kSecondHalf}};
    suite_.prompts = {{Path("prompts.jsonl"), 8}};
  }
  ~EvaluateTest() override { EXPECT_TRUE(core::RemoveAll(folder_).ok()); }

  std::string Path(const std::string& name) const { return core::JoinPath(folder_, name); }
  void Write(const std::string& name, const std::string& content) const {
    ASSERT_TRUE(core::WriteFileAtomic(Path(name), content).ok());
  }
  // A model folder: a tiny random model and a small tokenizer ("" for none).
  std::string MakeModel(const std::string& architecture,
                        const std::string& tokenizer = "byte_level") const {
    const std::string to = Path(architecture + tokenizer);
    if (tokenizer.empty()) {
      for (const char* name : {"/config.json", "/model.safetensors"}) {
        EXPECT_TRUE(core::MakeFolders(to).ok() &&
                    core::CopyFileAtomic(engine::FixturePath(architecture) + name, to + name).ok());
      }
    } else {
      engine::WriteModelWithTokenizer(architecture, tokenizer, to);
    }
    return to;
  }
  core::Result<core::Json> Run(const std::string& candidate,
                               const std::optional<std::string>& baseline,
                               const EvalOptions& options = {}) const {
    return Evaluate(candidate, baseline, suite_, options, core::SilentProgress(),
                    core::CancelToken());
  }
  void ExpectRefused(const std::string& candidate, const std::optional<std::string>& baseline,
                     const std::string& message) const {
    const auto document = Run(candidate, baseline);
    ASSERT_FALSE(document.ok()) << message;
    EXPECT_NE(document.error().message().find(message), std::string::npos)
        << document.error().message();
    EXPECT_EQ(document.error().message().find('\n'), std::string::npos);
  }

  std::string folder_;
  Suite suite_;
};

TEST_F(EvaluateTest, FillsEveryFieldThatGatesAndReadersKnow) {
  const std::string baseline = MakeModel("llama");
  const std::string candidate = MakeModel("llama_tied");
  const auto evaluated = Run(candidate, baseline);
  ASSERT_TRUE(evaluated.ok()) << evaluated.error().message();
  const core::Json& document = evaluated.value();
  EXPECT_EQ(document["schema"], 1);
  EXPECT_EQ(document["complete"], true);
  EXPECT_EQ(document["candidate_digest"], format::FolderDigest(candidate).value());
  EXPECT_EQ(document["baseline_digest"], format::FolderDigest(baseline).value());
  EXPECT_EQ(document["suite_digest"], SuiteDigest(suite_).value());
  EXPECT_EQ(document["runtime"]["compute"], "f32");
  EXPECT_EQ(document["runtime"]["kv"], "kv32");
  EXPECT_FALSE(document["runtime"]["isa"].get<std::string>().empty());

  const core::Json& perplexity = document["perplexity"].at(0);
  EXPECT_EQ(perplexity["name"], "words");
  EXPECT_EQ(perplexity["tokens"], 3 * 32);
  EXPECT_EQ(perplexity["windows"], 3);
  const double ratio = perplexity["ratio"];
  EXPECT_NEAR(ratio, perplexity["candidate"].get<double>() / perplexity["baseline"].get<double>(),
              1e-12);
  EXPECT_LE(perplexity["ratio_ci95"][0].get<double>(), ratio);
  EXPECT_GE(perplexity["ratio_ci95"][1].get<double>(), ratio);
  const core::Json& divergence = document["divergence"].at(0);
  EXPECT_GT(divergence["mean_kld"].get<double>(), 0);
  EXPECT_LE(divergence["p99_kld"].get<double>(), divergence["p999_kld"].get<double>());
  EXPECT_LE(divergence["p999_kld"].get<double>(), divergence["max_kld"].get<double>());
  EXPECT_GE(divergence["same_top"].get<double>(), 0);
  EXPECT_LE(divergence["same_top"].get<double>(), 1);

  ASSERT_EQ(document["generations"].size(), 2u);
  EXPECT_EQ(document["generations"][0]["prompt"], "hello");
  EXPECT_EQ(document["generations"][1]["prompt"], "<s>[user]hi</s>");
  EXPECT_TRUE(document["generations"][0]["baseline"].is_string());
  for (const char* model : {"baseline", "candidate"}) {
    EXPECT_GT(document["speed"][model]["prefill_tokens_per_s"].get<double>(), 0);
    EXPECT_GT(document["speed"][model]["decode_tokens_per_s"].get<double>(), 0);
    EXPECT_GT(document["memory"][model]["weights_bytes"].get<int64_t>(), 0);
  }

  // Two random models differ: the gate sees it.
  const auto report = CheckGate(document, {{{"divergence[*].mean_kld", Limit::kMax, 1e-6, 0.95},
                                            {"memory.weights_ratio", Limit::kMax, 10, 0.95},
                                            {"speed.decode_ratio", Limit::kMin, 1e-6, 0.99}}});
  ASSERT_TRUE(report.ok()) << report.error().message();
  EXPECT_EQ(report.value().outcomes[0].verdict, Verdict::kFail);
  EXPECT_EQ(report.value().outcomes[1].verdict, Verdict::kPass);
  EXPECT_EQ(report.value().outcomes[2].verdict, Verdict::kPass);
}

TEST_F(EvaluateTest, TheNumbersOfAVerdictAreTheSameEachTimeAndOnAnyNumberOfThreads) {
  const std::string baseline = MakeModel("llama");
  const std::string candidate = MakeModel("qwen2");
  suite_.speed = false;
  suite_.memory = false;
  EvalOptions options{1, model::Compute::kF32, model::KvType::kF32};
  const auto first = Run(candidate, baseline, options);
  options.threads = 3;
  const auto second = Run(candidate, baseline, options);
  ASSERT_TRUE(first.ok() && second.ok());
  for (const char* field : {"perplexity", "divergence", "generations", "suite_digest"}) {
    EXPECT_EQ(first.value()[field], second.value()[field]) << field;
  }
}

// The engine promises that results do not depend on how work is cut: the document is the same to
// the last digit, whether the hidden states stay in memory or go to disk.
TEST_F(EvaluateTest, BlockByBlockGivesTheSameDocument) {
  suite_.prompts.clear();
  suite_.speed = false;
  std::string text;
  for (int i = 0; i < 900; ++i) text += i % 5 == 0 ? "jumps over " : "the lazy dog ";
  Write("more.txt", text);
  suite_.texts.push_back({"more", Path("more.txt"), 200, 2, Score::kAll});
  for (const auto& [candidate, baseline] :
       {std::pair("llama_tied", "llama"), std::pair("mistral_window", "qwen2")}) {
    const std::string models[] = {MakeModel(candidate), MakeModel(baseline)};
    EvalOptions options{2, model::Compute::kF32, model::KvType::kI8};
    const auto whole = Run(models[0], models[1], options);
    ASSERT_TRUE(whole.ok()) << whole.error().message();
    core::Json expected = whole.value();
    for (const char* model : {"candidate", "baseline"})
      expected["memory"][model]["peak_rss_bytes"] = nullptr;
    options.stream = true;
    options.hidden.spill_folder = folder_;
    for (const int64_t budget : {int64_t{1} << 30, int64_t{1000}}) {
      options.hidden.max_memory_bytes = budget;
      const auto streamed = Run(models[0], models[1], options);
      ASSERT_TRUE(streamed.ok()) << streamed.error().message();
      EXPECT_EQ(streamed.value(), expected) << budget;
    }
  }
  const std::string model = MakeModel("llama");
  EvalOptions options;
  options.stream = true;
  options.hidden.spill_folder = folder_;
  const auto alone = Run(model, std::nullopt, options);
  ASSERT_TRUE(alone.ok()) << alone.error().message();
  EXPECT_EQ(alone.value()["perplexity"], Run(model, std::nullopt).value()["perplexity"]);
}

TEST_F(EvaluateTest, BlockByBlockLeavesOutWhatItCannotDoAndHearsACancel) {
  const std::string model = MakeModel("llama");
  EvalOptions options;
  options.stream = true;
  const auto with_prompts = Run(model, model, options);
  ASSERT_FALSE(with_prompts.ok());
  EXPECT_EQ(with_prompts.error().code(), core::ErrorCode::kUsage);
  suite_.prompts.clear();
  const auto document = Run(model, model, options);
  ASSERT_TRUE(document.ok()) << document.error().message();
  EXPECT_EQ(document.value()["complete"], true);
  EXPECT_TRUE(document.value()["speed"].is_null());
  EXPECT_EQ(document.value()["divergence"][0]["max_kld"], 0.0);

  options.hidden = {1000, Path("no-such-folder")};
  EXPECT_FALSE(Run(model, model, options).ok());
  options.hidden = {};
  core::CancelToken cancel;
  cancel.Cancel();
  const auto cut = Evaluate(model, model, suite_, options, core::SilentProgress(), cancel);
  ASSERT_TRUE(cut.ok()) << cut.error().message();
  EXPECT_EQ(cut.value()["complete"], false);
  EXPECT_TRUE(cut.value()["perplexity"].empty());
}

TEST_F(EvaluateTest, AModelAgainstItselfIsEqual) {
  const std::string model = MakeModel("qwen3");
  const auto document = Run(model, model);
  ASSERT_TRUE(document.ok()) << document.error().message();
  EXPECT_EQ(document.value()["perplexity"][0]["ratio"], 1.0);
  EXPECT_EQ(document.value()["divergence"][0]["max_kld"], 0.0);
  EXPECT_EQ(document.value()["divergence"][0]["same_top"], 1.0);
  for (const core::Json& generation : document.value()["generations"]) {
    EXPECT_TRUE(generation["first_difference"].is_null());
    EXPECT_EQ(generation["baseline"], generation["candidate"]);
  }
}

TEST_F(EvaluateTest, WithoutABaselineThereIsPerplexityAndNoVerdict) {
  const auto document = Run(MakeModel("llama"), std::nullopt);
  ASSERT_TRUE(document.ok()) << document.error().message();
  EXPECT_EQ(document.value()["complete"], true);
  EXPECT_TRUE(document.value()["baseline_digest"].is_null());
  EXPECT_GT(document.value()["perplexity"][0]["candidate"].get<double>(), 1);
  EXPECT_EQ(document.value()["perplexity"][0]["candidate_ci95"].size(), 2u);
  EXPECT_TRUE(document.value()["perplexity"][0]["ratio"].is_null());
  EXPECT_TRUE(document.value()["divergence"].empty());
  EXPECT_TRUE(document.value()["speed"]["baseline"].is_null());
  EXPECT_TRUE(document.value()["memory"]["baseline"].is_null());
  EXPECT_FALSE(CheckGate(document.value(), DefaultPolicy()).ok());
}

TEST_F(EvaluateTest, NamesTheModesOfTheCandidateAndKeepsTheBaselineExact) {
  const std::string model = MakeModel("llama");
  const auto document = Run(model, model, {0, model::Compute::kBF16, model::KvType::kI16});
  ASSERT_TRUE(document.ok()) << document.error().message();
  EXPECT_EQ(document.value()["runtime"]["compute"], "bf16");
  EXPECT_EQ(document.value()["runtime"]["kv"], "kv16");
  EXPECT_EQ(document.value()["runtime"]["baseline_compute"], "f32");
  EXPECT_GT(document.value()["divergence"][0]["mean_kld"].get<double>(),
            0);  // of the f16 cache at least
}

TEST_F(EvaluateTest, WhatTheSuiteLeavesOutIsNullAndClosesTheGateToRulesAboutIt) {
  const std::string model = MakeModel("llama");
  const Policy on_memory = {{{"memory.weights_ratio", Limit::kMax, 10, 0.95}}};
  const Policy on_speed = {{{"speed.decode_ratio", Limit::kMin, 1e-6, 0.95}}};
  for (const bool speed : {false, true}) {
    suite_.speed = speed;
    suite_.memory = !speed;
    const auto document = Run(model, model);
    ASSERT_TRUE(document.ok()) << document.error().message();
    EXPECT_EQ(document.value()["complete"], true);
    EXPECT_EQ(document.value()["speed"].is_null(), !speed);
    EXPECT_EQ(document.value()["memory"].is_null(), speed);
    EXPECT_TRUE(CheckGate(document.value(), speed ? on_speed : on_memory).ok());
    const auto refused = CheckGate(document.value(), speed ? on_memory : on_speed);
    ASSERT_FALSE(refused.ok());
    EXPECT_NE(refused.error().message().find(speed ? "memory was left out" : "speed was left out"),
              std::string::npos)
        << refused.error().message();
  }
}

TEST_F(EvaluateTest, CancelledItSaysSoAndPassesNoGate) {
  core::CancelToken cancel;
  cancel.Cancel();
  const std::string model = MakeModel("llama");
  const auto document = Evaluate(model, model, suite_, {}, core::SilentProgress(), cancel);
  ASSERT_TRUE(document.ok()) << document.error().message();
  EXPECT_EQ(document.value()["complete"], false);
  const auto report = CheckGate(document.value(), DefaultPolicy());
  ASSERT_FALSE(report.ok());
  EXPECT_NE(report.error().message().find("not complete"), std::string::npos);
}

TEST_F(EvaluateTest, RefusesWhatCannotBeCompared) {
  const std::string model = MakeModel("llama");
  ExpectRefused(model, MakeModel("llama", "sentencepiece"), "tokenizers of candidate and baseline");
  ExpectRefused(MakeModel("llama", ""), std::nullopt, "no tokenizer.json");
  ExpectRefused(Path("nowhere"), std::nullopt, "nowhere");
  Write("words.txt", std::string("abc \xff\xfe") + std::string(5000, 'x'));
  ExpectRefused(model, std::nullopt, "not UTF-8");
  Write("words.txt", "short");
  ExpectRefused(model, std::nullopt, "3 are asked for");
  suite_.texts[0].file = Path("missing.txt");
  ExpectRefused(model, std::nullopt, "missing.txt");
  suite_ = {};
  ExpectRefused(model, std::nullopt, "asks for nothing");
}

TEST_F(EvaluateTest, RefusesAFolderThatIsNotWhatItsManifestSays) {
  const std::string model = MakeModel("llama");
  ASSERT_TRUE(format::WriteManifest(model, "base", core::Json::object()).ok());
  ASSERT_TRUE(core::WriteFileAtomic(model + "/tokenizer_config.json", "{}").ok());
  ExpectRefused(model, std::nullopt, "tokenizer_config.json");
}

}  // namespace
}  // namespace octavo::eval
