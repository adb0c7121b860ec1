// The demo model from its GGUF file to generated text, against what Hugging Face transformers
// computes (float32). Needs OCTAVO_DEMO, the folder that tools/demo_inputs.sh fills.
#include <cmath>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/file.h"
#include "core/json.h"
#include "core/temp_folder.h"
#include "engine/engine.h"
#include "engine/scheduler.h"
#include "format/safetensors.h"
#include "hub/pull.h"
#include "text/chat_template.h"

namespace octavo::workflow {
namespace {

using core::Json;
using engine::Engine;
using engine::TokenId;

std::string Fixture(const std::string& name) {
  return std::string(OCTAVO_TESTDATA) + "/smollm2/" + name;
}

class SmolLM2 : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    const char* demo = std::getenv("OCTAVO_DEMO");
    ASSERT_NE(demo, nullptr) << "set OCTAVO_DEMO to the folder that tools/demo_inputs.sh fills";
    folder_ = new core::TempFolder();
    model_dir_ = folder_->path() + "/smollm2";
    core::CancelToken cancel;
    const auto pulled = hub::Pull(std::string(demo) + "/SmolLM2-135M-Instruct.Q4_1.gguf",
                                  model_dir_, {}, core::SilentProgress(), cancel);
    ASSERT_TRUE(pulled.ok()) << pulled.error().message();
  }
  static void TearDownTestSuite() { delete folder_; }

  static std::unique_ptr<Engine> Load(int threads) {
    engine::EngineOptions options;
    options.threads = threads;
    auto loaded = Engine::Load(model_dir_, options);
    EXPECT_TRUE(loaded.ok()) << loaded.error().message();
    return std::move(loaded).value();
  }

  static inline core::TempFolder* folder_ = nullptr;
  static inline std::string model_dir_;
};

TEST_F(SmolLM2, TokenizerEqualsTransformers) {
  const auto tokenizer = text::Tokenizer::Load(model_dir_, 49152);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.error().message();
  const Json cases = core::ReadJsonFile(Fixture("tokenizer_cases.json")).value();
  ASSERT_GT(cases.size(), 10U);
  for (const Json& c : cases) {
    const auto ids = tokenizer.value().Encode(c["text"].get<std::string>(), false);
    ASSERT_TRUE(ids.ok());
    EXPECT_EQ(ids.value(), c["ids"].get<std::vector<TokenId>>()) << c["text"];
    EXPECT_EQ(tokenizer.value().Decode(ids.value(), false).value(),
              c["decoded"].get<std::string>());
  }
}

TEST_F(SmolLM2, ChatTemplateEqualsTransformers) {
  const auto chat = text::ChatTemplate::Load(model_dir_);
  ASSERT_TRUE(chat.ok() && chat.value().has_value());
  const Json cases = core::ReadJsonFile(Fixture("chat_cases.json")).value();
  ASSERT_FALSE(cases.empty());
  for (const Json& c : cases) {
    EXPECT_EQ(chat.value()->Render(c["messages"], true).value(), c["rendered"].get<std::string>());
  }
}

TEST_F(SmolLM2, LogitsEqualTransformers) {
  const auto engine = Load(2);
  const auto reference = format::SafetensorsFile::Open(Fixture("logits.safetensors"));
  ASSERT_TRUE(reference.ok());
  const Json prompts = core::ReadJsonFile(Fixture("prompts.json")).value();
  for (size_t i = 0; i < prompts.size(); ++i) {
    const auto ids = prompts[i]["token_ids"].get<std::vector<TokenId>>();
    engine::Sequence sequence = engine->NewSequence();
    const engine::Step step{&sequence, ids, static_cast<int64_t>(ids.size()) - 2};
    const auto logits = engine->Forward({&step, 1});
    ASSERT_TRUE(logits.ok());
    const tensor::TensorView* want = reference.value().Find("last_logits." + std::to_string(i));
    ASSERT_NE(want, nullptr);
    std::vector<float> rows(static_cast<size_t>(want->elements()));
    tensor::ConvertToFloat(want->dtype, want->bytes, rows);
    ASSERT_EQ(rows.size(), logits.value().size());
    double worst = 0;
    for (size_t j = 0; j < rows.size(); ++j) {
      worst = std::max(worst, std::fabs(static_cast<double>(rows[j]) - logits.value()[j]));
    }
    EXPECT_LT(worst, 5e-3) << "prompt " << i;
    RecordProperty("max_abs_difference_" + std::to_string(i), std::to_string(worst));
  }
}

std::vector<TokenId> Greedy(Engine& engine, const std::vector<TokenId>& prompt) {
  std::vector<TokenId> out;
  engine::GenerationRequest request;
  request.prompt = prompt;
  request.sampling.max_tokens = 48;
  request.sampling.ignore_eos = true;
  request.on_event = [&](engine::GenerationEvent&& event) {
    out.insert(out.end(), event.tokens.begin(), event.tokens.end());
  };
  EXPECT_TRUE(engine::Generate(engine, request, core::CancelToken()).ok());
  return out;
}

TEST_F(SmolLM2, GreedyTokensEqualTransformersAloneAndInABatch) {
  const Json prompts = core::ReadJsonFile(Fixture("prompts.json")).value();
  for (const int threads : {1, 2}) {
    const auto engine = Load(threads);
    for (const Json& p : prompts) {
      EXPECT_EQ(Greedy(*engine, p["token_ids"].get<std::vector<TokenId>>()),
                p["greedy_48"].get<std::vector<TokenId>>())
          << threads << " threads: " << p["prompt"];
    }
    std::mutex mutex;
    std::condition_variable changed;
    size_t finished = 0;
    std::vector<std::vector<TokenId>> outs(prompts.size());
    engine::Scheduler scheduler(*engine, {});
    for (size_t i = 0; i < prompts.size(); ++i) {
      engine::GenerationRequest request;
      request.prompt = prompts[i]["token_ids"].get<std::vector<TokenId>>();
      request.sampling.max_tokens = 48;
      request.sampling.ignore_eos = true;
      request.on_event = [&, i](engine::GenerationEvent&& event) {
        const std::lock_guard lock(mutex);
        outs[i].insert(outs[i].end(), event.tokens.begin(), event.tokens.end());
        finished += event.finish != engine::FinishReason::kNone ? 1 : 0;
        changed.notify_all();
      };
      ASSERT_TRUE(scheduler.Submit(std::move(request)).ok());
    }
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return finished == prompts.size(); });
    for (size_t i = 0; i < prompts.size(); ++i) {
      EXPECT_EQ(outs[i], prompts[i]["greedy_48"].get<std::vector<TokenId>>())
          << "in a batch, prompt " << i;
    }
  }
}

}  // namespace
}  // namespace octavo::workflow
