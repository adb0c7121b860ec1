// The figures of docs/calibration.md: false alarms over 2,000 splits of one pool, and how often
// other traffic is caught and rightly named. Needs OCTAVO_DEMO, the folder of `./dev demo`: its
// tokenizer, its Brown text and, in genres/, that of two of its genres. With OCTAVO_TEXTS, a folder
// that holds gsm8k.train.jsonl and wikitext2.valid.txt, also on questions of arithmetic against
// articles.
#include <cstdio>
#include <cstdlib>

#include <gtest/gtest.h>

#include "compress/fixture.h"
#include "compress/traffic_check.h"
#include "core/json.h"
#include "core/thread_pool.h"

namespace octavo::compress {
namespace {

constexpr int kSplits = 2000;
constexpr int kTrials = 20;
constexpr int kMixtures = 50;
constexpr size_t kMixed = 512;

class TrafficCheckSlow : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    const char* demo = std::getenv("OCTAVO_DEMO");
    ASSERT_NE(demo, nullptr) << "set OCTAVO_DEMO to the folder of `./dev demo`";
    demo_ = demo;
    tokenizer_ = new text::Tokenizer(text::Tokenizer::Load(std::string(demo) + "/base").value());
    // Sentences.
    std::string brown = core::ReadFile(std::string(demo) + "/heldout.txt").value();
    for (size_t at = 0; (at = brown.find(". ", at)) != std::string::npos; at += 2)
      brown[at + 1] = '\n';
    prose_ = new PromptPool;
    AddPieces(*tokenizer_, brown, 1, *prose_);
    std::erase_if(*prose_, [](const SampledPrompt& p) { return p.written.size() < 40; });
    code_ = new PromptPool(CodePool(*tokenizer_, std::string(OCTAVO_SOURCE_DIR) + "/src"));
  }

  // Those of a text that are long enough to be prompts.
  static PromptPool Paragraphs(const std::string& path) {
    PromptPool out;
    AddPieces(*tokenizer_, core::ReadFile(path).value(), 1, out);
    std::erase_if(out, [](const SampledPrompt& p) { return p.written.size() < 60; });
    return out;
  }

  static TrafficReport Compare(const PromptPool& calibration, const PromptPool& traffic,
                               uint64_t seed) {
    static core::ThreadPool pool;
    return CompareWithTraffic({calibration, {}}, {traffic, {}}, {.seed = seed}, *tokenizer_, pool);
  }

  static void FalseAlarms(const char* name, const PromptPool& pool) {
    core::Random random(11);
    const PromptPool members = Draw(pool, 200, random);
    int alarms = 0;
    for (int i = 0; i < kSplits; ++i) {
      const PromptPool all = Draw(members, members.size(), random);
      const PromptPool first(all.begin(), all.begin() + 100);
      const PromptPool second(all.begin() + 100, all.end());
      alarms += Compare(first, second, random.Next()).differs() ? 1 : 0;
    }
    std::printf("%s: %d false alarms in %d splits\n", name, alarms, kSplits);
    EXPECT_LE(alarms, kSplits * 16 / 1000);
    EXPECT_GE(alarms, kSplits * 4 / 1000);  // far fewer would be a test that never fires
  }

  static void IsCaught(const char* name, const PromptPool& calibration, const PromptPool& traffic,
                       const std::string& reason) {
    core::Random random(12);
    int caught = 0;
    for (int i = 0; i < kTrials; ++i) {
      const TrafficReport report =
          Compare(Draw(calibration, 128, random), Draw(traffic, 128, random), random.Next());
      for (const TrafficFinding& f : report.findings) {
        if (i == 0 && f.differs) {
          std::printf("%s: %s: %s; %s\n", name, f.test.c_str(), f.words.c_str(), f.quotes.c_str());
        }
        caught += f.test == reason && f.differs ? 1 : 0;
      }
    }
    std::printf("%s: %d of %d named by '%s'\n", name, caught, kTrials, reason.c_str());
    EXPECT_EQ(caught, kTrials) << name;
    if (calibration.size() >= kMixed + kMixed * 8 / 10)
      MixturesAreCaught(name, calibration, traffic);
  }

  // A fifth of the traffic is of the other kind.
  static void MixturesAreCaught(const char* name, const PromptPool& calibration,
                                const PromptPool& traffic) {
    core::Random random(13);
    constexpr size_t kOwn = kMixed * 8 / 10;
    int mixtures = 0;
    for (int i = 0; i < kMixtures; ++i) {
      const PromptPool all = Draw(calibration, kMixed + kOwn, random);
      const PromptPool first(all.begin(), all.begin() + kMixed);
      PromptPool second(all.begin() + kMixed, all.end());
      for (SampledPrompt& prompt : Draw(traffic, kMixed - kOwn, random))
        second.push_back(std::move(prompt));
      mixtures += Compare(first, second, random.Next()).differs() ? 1 : 0;
    }
    std::printf("%s: %d of %d mixtures of 20 %% at %zu prompts\n", name, mixtures, kMixtures,
                kMixed);
    EXPECT_GE(mixtures, kMixtures * 8 / 10) << name;
  }

  static inline std::string demo_;
  static inline text::Tokenizer* tokenizer_ = nullptr;
  static inline PromptPool* prose_ = nullptr;
  static inline PromptPool* code_ = nullptr;
};

TEST_F(TrafficCheckSlow, FalseAlarmsKeepTheRate) {
  FalseAlarms("prose", *prose_);
  core::Random random(10);
  PromptPool mixed = *prose_;
  for (SampledPrompt& prompt : Draw(*code_, prose_->size(), random))
    mixed.push_back(std::move(prompt));
  FalseAlarms("prose and code", mixed);
}

TEST_F(TrafficCheckSlow, CodeIsCaught) {
  IsCaught("prose, traffic of code", *prose_, *code_, "code");
  IsCaught("code, traffic of prose", *code_, *prose_, "code");
}

TEST_F(TrafficCheckSlow, AnotherScriptIsCaught) {
  IsCaught("Latin, traffic of Cyrillic", *prose_, InCyrillic(*tokenizer_, *prose_), "script");
}

TEST_F(TrafficCheckSlow, AnotherGenreIsCaught) {
  const PromptPool fiction = Paragraphs(demo_ + "/genres/fiction.txt");
  const PromptPool science = Paragraphs(demo_ + "/genres/science.txt");
  FalseAlarms("science", science);
  IsCaught("fiction, traffic of science", fiction, science, "tokens");
  IsCaught("science, traffic of fiction", science, fiction, "tokens");
  const char* texts = std::getenv("OCTAVO_TEXTS");
  if (texts == nullptr) return;
  PromptPool questions;
  const std::string gsm8k = core::ReadFile(std::string(texts) + "/gsm8k.train.jsonl").value();
  for (const eval::PromptLine& line : eval::SplitPromptLines(gsm8k)) {
    const core::Json json = core::ParseJson(line.text).value();
    AddPrompt(*tokenizer_, core::GetString(json, "question").value(), questions);
  }
  const PromptPool articles = Paragraphs(std::string(texts) + "/wikitext2.valid.txt");
  FalseAlarms("articles", articles);
  IsCaught("questions, traffic of articles", questions, articles, "tokens");
  IsCaught("articles, traffic of questions", articles, questions, "tokens");
}

}  // namespace
}  // namespace octavo::compress
