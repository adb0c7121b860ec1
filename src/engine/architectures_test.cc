// Logits of every architecture against Hugging Face transformers (f32), and the promise that a
// sequence's logits depend on nothing but the sequence.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include <gtest/gtest.h>

#include "core/file.h"
#include "core/temp_folder.h"
#include "engine/fixture.h"
#include "kernels/dispatch.h"

namespace octavo::engine {
namespace {

constexpr const char* kFixtures[] = {"llama",          "llama_tied", "llama3_rope",
                                     "mistral_window", "qwen2",      "qwen3"};
// Logits of these models are of order 1; f32 sums of up to 176 terms in another order differ by
// some 1e-6.
constexpr double kTolerance = 2e-4;

std::vector<float> Reference(const std::string& name, size_t index) {
  const auto file = format::SafetensorsFile::Open(FixturePath(name) + "/logits.safetensors");
  const tensor::TensorView* view = file.value().Find("logits." + std::to_string(index));
  std::vector<float> out(static_cast<size_t>(view->elements()));
  tensor::ConvertToFloat(view->dtype, view->bytes, out);
  return out;
}

std::vector<float> Copy(std::span<const float> values) {
  return {values.begin(), values.end()};
}

std::vector<float> Prefill(Engine& engine, std::span<const TokenId> tokens) {
  Sequence sequence = engine.NewSequence();
  const Step step{&sequence, tokens, 0};
  return Copy(engine.Forward({&step, 1}).value());
}

std::vector<float> InPieces(Engine& engine, std::span<const TokenId> tokens, size_t piece) {
  Sequence sequence = engine.NewSequence();
  std::vector<float> out;
  for (size_t i = 0; i < tokens.size(); i += piece) {
    const Step step{&sequence, tokens.subspan(i, std::min(piece, tokens.size() - i)), 0};
    const auto logits = engine.Forward({&step, 1}).value();
    out.insert(out.end(), logits.begin(), logits.end());
  }
  return out;
}

class Architectures : public testing::TestWithParam<const char*> {};

TEST_P(Architectures, LogitsEqualTransformers) {
  const auto engine = LoadFixture(GetParam());
  ASSERT_NE(engine, nullptr);
  const auto tokens = FixtureTokens(GetParam());
  for (size_t i = 0; i < tokens.size(); ++i) {
    EXPECT_LT(MaxDifference(Prefill(*engine, tokens[i]), Reference(GetParam(), i)), kTolerance)
        << "sequence " << i;
  }
}

TEST_P(Architectures, TheReferenceWouldSeeAWrongToken) {
  const auto engine = LoadFixture(GetParam());
  ASSERT_NE(engine, nullptr);
  auto tokens = FixtureTokens(GetParam())[2];
  tokens[40] = (tokens[40] + 1) % 320;
  EXPECT_GT(MaxDifference(Prefill(*engine, tokens), Reference(GetParam(), 2)), 100 * kTolerance);
}

TEST_P(Architectures, LogitsDoNotDependOnHowTheTokensAreCutThreadsOrIsa) {
  EngineOptions two_threads;
  two_threads.threads = 2;
  EngineOptions one_thread;
  one_thread.threads = 1;
  const auto engine = LoadFixture(GetParam(), two_threads);
  const auto alone = LoadFixture(GetParam(), one_thread);
  ASSERT_TRUE(engine != nullptr && alone != nullptr);
  const auto tokens = FixtureTokens(GetParam());
  const auto whole = Prefill(*engine, tokens[2]);
  EXPECT_EQ(whole, InPieces(*engine, tokens[2], 1));
  EXPECT_EQ(whole, InPieces(*engine, tokens[2], 7));
  EXPECT_EQ(whole, InPieces(*engine, tokens[2], 65));
  EXPECT_EQ(whole, InPieces(*alone, tokens[2], 33));
  const kernels::KernelTable& best = kernels::ActiveTable();
  for (const kernels::KernelTable* table : kernels::AllTables()) {
    if (!table->supported(kernels::HostCpu())) continue;
    kernels::ForceTable(*table);
    EXPECT_EQ(whole, Prefill(*engine, tokens[2])) << table->isa;
  }
  kernels::ForceTable(best);
}

TEST_P(Architectures, ABatchOfDifferentLengthsGivesTheSameLogits) {
  const auto engine = LoadFixture(GetParam());
  ASSERT_NE(engine, nullptr);
  const auto tokens = FixtureTokens(GetParam());
  std::vector<Sequence> sequences;
  std::vector<float> want;
  for (const auto& ids : tokens) {
    sequences.push_back(engine->NewSequence());
    const auto logits = Prefill(*engine, ids);
    want.insert(want.end(), logits.begin(), logits.end());
  }
  std::vector<Step> steps;
  for (size_t i = 0; i < tokens.size(); ++i) steps.push_back({&sequences[i], tokens[i], 0});
  EXPECT_EQ(Copy(engine->Forward(steps).value()), want);
}

TEST_P(Architectures, SixteenBitKvStaysClose) {
  EngineOptions options;
  options.kv = model::KvType::kI16;
  const auto engine = LoadFixture(GetParam(), options);
  ASSERT_NE(engine, nullptr);
  const auto tokens = FixtureTokens(GetParam());
  const auto logits = Prefill(*engine, tokens[2]);
  EXPECT_EQ(logits, InPieces(*engine, tokens[2], 1));
  // Codes keep 12 bits and a sign of K and V, so the logits move by some 2^-12 of their size, which
  // is of order 1.
  EXPECT_LT(MaxDifference(logits, Reference(GetParam(), 2)), 1e-2);
}

TEST_P(Architectures, EightBitKvStaysCloseAndTheSameInABatchOnEveryTable) {
  EngineOptions options;
  options.kv = model::KvType::kI8;
  const auto engine = LoadFixture(GetParam(), options);
  ASSERT_NE(engine, nullptr);
  const auto tokens = FixtureTokens(GetParam());
  const auto logits = Prefill(*engine, tokens[2]);
  EXPECT_EQ(logits, InPieces(*engine, tokens[2], 1));
  EXPECT_EQ(logits, InPieces(*engine, tokens[2], 7));
  std::vector<Sequence> sequences;
  std::vector<float> want;
  std::vector<Step> steps;
  for (const auto& ids : tokens) {
    sequences.push_back(engine->NewSequence());
    const auto alone = Prefill(*engine, ids);
    want.insert(want.end(), alone.begin(), alone.end());
  }
  for (size_t i = 0; i < tokens.size(); ++i) steps.push_back({&sequences[i], tokens[i], 0});
  EXPECT_EQ(Copy(engine->Forward(steps).value()), want);
  const kernels::KernelTable& best = kernels::ActiveTable();
  for (const kernels::KernelTable* table : kernels::AllTables()) {
    if (!table->supported(kernels::HostCpu())) continue;
    kernels::ForceTable(*table);
    EXPECT_EQ(logits, Prefill(*engine, tokens[2])) << table->isa;
  }
  kernels::ForceTable(best);
  // Codes are off by up to 1/254 of a head's largest number, 16 times what F16 loses of it, so the
  // logits move by at most 16 times as much; but they do move.
  const double difference = MaxDifference(logits, Reference(GetParam(), 2));
  EXPECT_LT(difference, 16 * 1e-2);
  EXPECT_GT(difference, 1e-4);
}

INSTANTIATE_TEST_SUITE_P(All, Architectures, testing::ValuesIn(kFixtures));

// A fixture's weights under a config that does not account for all of them.
std::string RefusalUnder(const std::string& fixture, const std::string& field,
                         const core::Json& value) {
  const core::TempFolder folder;
  core::Json config = core::ReadJsonFile(FixturePath(fixture) + "/config.json").value();
  config[field] = value;
  EXPECT_TRUE(core::WriteFileAtomic(folder / "config.json", core::DumpJson(config)).ok());
  EXPECT_TRUE(core::CopyFileAtomic(FixturePath(fixture) + "/model.safetensors",
                                   folder / "model.safetensors")
                  .ok());
  const auto engine = Engine::Load(folder.path(), {});
  EXPECT_FALSE(engine.ok());
  return engine.ok() ? "" : engine.error().message();
}

TEST(Engine, ATensorThatNothingReadsIsRefused) {
  EXPECT_NE(RefusalUnder("llama", "num_hidden_layers", 2).find("model.layers.2."),
            std::string::npos);
  EXPECT_NE(RefusalUnder("qwen3", "architectures", {"LlamaForCausalLM"}).find("_norm.weight"),
            std::string::npos);
  EXPECT_NE(RefusalUnder("llama_tied", "mlp_bias", false).find(".bias"), std::string::npos);
}

TEST(Engine, AWindowedModelNeedsOnlyItsWindow) {
  const auto engine = LoadFixture("mistral_window");
  EngineOptions options;
  options.kv_tokens = 128;  // the window is 16
  const auto small = LoadFixture("mistral_window", options);
  ASSERT_TRUE(engine != nullptr && small != nullptr);
  std::vector<TokenId> ids;
  for (TokenId i = 0; i < 250; ++i) ids.push_back(3 + i * 37 % 300);
  EXPECT_EQ(InPieces(*small, ids, 1), Prefill(*engine, ids));
  EXPECT_EQ(InPieces(*small, ids, 40), Prefill(*engine, ids));
  EXPECT_EQ(small->free_kv_tokens(), 128);
}

TEST(Engine, RefusesWhatItCannotRunAndChangesNothing) {
  EngineOptions options;
  options.kv_tokens = 64;
  const auto engine = LoadFixture("llama", options);
  ASSERT_NE(engine, nullptr);
  Sequence sequence = engine->NewSequence();
  const std::vector<TokenId> bad = {1, 320};
  const std::vector<TokenId> too_many(65, 1);
  const std::vector<TokenId> beyond_context(257, 1);
  for (const auto* tokens : {&bad, &too_many, &beyond_context}) {
    const Step step{&sequence, *tokens, 0};
    const auto result = engine->Forward({&step, 1});
    ASSERT_FALSE(result.ok());
    EXPECT_EQ(sequence.length(), 0);
    EXPECT_EQ(engine->free_kv_tokens(), 64);
  }
}

}  // namespace
}  // namespace octavo::engine
