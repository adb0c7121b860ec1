#include "workflow/run.h"

#include <filesystem>
#include <map>
#include <string>

#include <gtest/gtest.h>

#include "core/file.h"
#include "core/temp_folder.h"
#include "engine/fixture.h"
#include "registry/lock.h"
#include "registry/registry.h"

namespace octavo::workflow {
namespace {

using Kind = StepEvent::Kind;

// A pipeline on a tiny random model, in a folder of its own.
class RunTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_NO_FATAL_FAILURE(
        engine::WriteModelWithTokenizer("llama", "byte_level", folder_ / "model"));
    std::string text;
    for (int i = 0; i < 300; ++i) text += i % 3 == 0 ? "hello world " : "the quick brown fox ";
    Write("words.txt", text);
    Write("suite.toml", "[[text]]\nfile = \"words.txt\"\ncontext = 64\nchunks = 3\n");
    Write("policy.toml", "[[rule]]\nmetric = \"memory.weights_ratio\"\nmax = 0.9\n");
    Write("octavo.toml",
          "base = \"model\"\nrun = \"run\"\n[eval]\nsuite = \"suite.toml\"\n[gate]\npolicy = "
          "\"policy.toml\"\n[promote]\nchannel = \"test\"\n");
  }

  void Write(const std::string& name, const std::string& content) {
    ASSERT_TRUE(core::WriteFileAtomic(folder_ / name, content).ok());
  }

  // Runs the pipeline and remembers what became of each step.
  core::Result<RunReport> RunIt(RunOptions options = {}) {
    const auto pipeline = LoadPipeline(folder_ / "octavo.toml");
    if (!pipeline.ok()) return pipeline.error();
    events_.clear();
    options.on_step = [this](const StepEvent& event) {
      events_[std::string(event.step)] = {event.kind, event.why};
    };
    return workflow::Run(pipeline.value(), folder_ / "home", options, core::SilentProgress(),
                         core::CancelToken());
  }
  RunReport MustRun(RunOptions options = {}) {
    auto report = RunIt(std::move(options));
    if (!report.ok()) {
      ADD_FAILURE() << report.error().message();
      return {};
    }
    return std::move(report).value();
  }
  // One letter a step: unchanged, finished, would run, or - for not reached.
  std::string Steps() const {
    std::string out;
    for (const char* step : {"pull", "quantize", "eval", "gate", "promote"}) {
      const auto event = events_.find(step);
      out += event == events_.end()                    ? '-'
             : event->second.first == Kind::kUnchanged ? 'u'
             : event->second.first == Kind::kFinished  ? 'f'
             : event->second.first == Kind::kWouldRun  ? 'w'
                                                       : 's';
    }
    return out;
  }
  std::string Why(const std::string& step) const { return events_.at(step).second; }

  core::TempFolder folder_;
  std::map<std::string, std::pair<Kind, std::string>> events_;
};

TEST_F(RunTest, TakesAModelToAChannelAndThenDoesNothing) {
  const RunReport first = MustRun();
  EXPECT_EQ(Steps(), "fffff");
  EXPECT_EQ(first.verdict, "pass");
  auto store = registry::Registry::Open(folder_ / "home");
  ASSERT_TRUE(store.ok()) << store.error().message();
  EXPECT_EQ(store.value().Resolve("test").value().digest, first.results["quantize"]["digest"]);

  const RunReport second = MustRun();
  EXPECT_EQ(Steps(), "uuuuu");
  EXPECT_EQ(second.results, first.results);
  EXPECT_EQ(second.evaluation, first.evaluation);
  EXPECT_EQ(store.value().History("test").value().size(), 1U);
}

TEST_F(RunTest, RunsOnlyWhatAChangeReaches) {
  MustRun();
  Write("policy.toml", "[[rule]]\nmetric = \"memory.weights_ratio\"\nmax = 0.8\n");
  MustRun({.dry_run = true});
  EXPECT_EQ(Why("gate"), "policy changed");
  MustRun();
  EXPECT_EQ(Steps(), "uuuff");

  Write("suite.toml", "[[text]]\nfile = \"words.txt\"\ncontext = 64\nchunks = 2\n");
  MustRun();
  EXPECT_EQ(Steps(), "uufff");

  Write("words.txt", core::ReadFile(folder_ / "words.txt").value() + "one more line");
  MustRun();
  EXPECT_EQ(Steps(), "uufff");
}

TEST_F(RunTest, MakesAgainWhatIsGoneAndStopsWhereTheResultIsTheSame) {
  MustRun();
  ASSERT_TRUE(core::RemoveAll(folder_ / "run/artifact").ok());
  MustRun();
  EXPECT_EQ(Steps(), "ufuuu");

  ASSERT_TRUE(core::RemoveAll(folder_ / "run/base/model.safetensors").ok());
  MustRun();
  EXPECT_EQ(Steps(), "fuuuu");

  ASSERT_TRUE(core::RemoveAll(folder_ / "home").ok());
  MustRun();
  EXPECT_EQ(Steps(), "uuuuf");
}

TEST_F(RunTest, ClosedGatePromotesNothing) {
  Write("policy.toml", "[[rule]]\nmetric = \"memory.weights_ratio\"\nmax = 0.1\n");
  EXPECT_EQ(MustRun().verdict, "fail");
  EXPECT_EQ(Steps(), "ffff-");
  EXPECT_EQ(MustRun().verdict, "fail");
  EXPECT_EQ(Steps(), "uuuu-");
  EXPECT_FALSE(registry::Registry::Open(folder_ / "home").value().Resolve("test").ok());
}

TEST_F(RunTest, DryRunChangesNothing) {
  MustRun({.dry_run = true});
  EXPECT_EQ(Steps(), "wwwww");
  EXPECT_EQ(Why("eval"), "after pull");
  EXPECT_FALSE(core::FolderExists(folder_ / "run"));
  EXPECT_FALSE(core::FolderExists(folder_ / "home"));
}

TEST_F(RunTest, FromRunsAStepAndThoseAfterIt) {
  MustRun();
  MustRun({.from = "gate"});
  EXPECT_EQ(Steps(), "uuuff");
  const auto unknown = RunIt({.from = "evaluate"});
  ASSERT_FALSE(unknown.ok());
  EXPECT_EQ(unknown.error().code(), core::ErrorCode::kUsage);
  EXPECT_NE(unknown.error().message().find("pull, quantize, eval, gate, promote"),
            std::string::npos);
}

TEST_F(RunTest, OneRunAtATimeInAFolder) {
  ASSERT_TRUE(core::MakeFolders(folder_ / "run").ok());
  const auto held = registry::StoreLock::Try(folder_ / "run/lock");
  ASSERT_TRUE(held.ok() && held.value().has_value());
  const auto report = RunIt();
  ASSERT_FALSE(report.ok());
  EXPECT_NE(report.error().message().find("another octavo run"), std::string::npos);
}

TEST_F(RunTest, ErrorsNameTheStepOrTheFile) {
  const auto message = [this] {
    const auto report = RunIt();
    return report.ok() ? std::string("no error") : report.error().message();
  };
  ASSERT_TRUE(core::MakeFolders(folder_ / "run").ok());
  Write("run/journal.json", "");
  EXPECT_NE(message().find("journal.json"), std::string::npos) << message();
  ASSERT_TRUE(core::RemoveAll(folder_ / "run").ok());

  ASSERT_TRUE(core::RemoveAll(folder_ / "model/config.json").ok());
  EXPECT_EQ(message().find("step pull: "), 0U) << message();
  ASSERT_TRUE(core::RemoveAll(folder_ / "model").ok());
  EXPECT_NE(message().find("does not exist"), std::string::npos) << message();
}

TEST_F(RunTest, ARuleAboutWhatTheSuiteLeavesOutIsRefusedBeforeAnyStep) {
  const std::string text = "[[text]]\nfile = \"words.txt\"\ncontext = 64\nchunks = 3\n";
  Write("suite.toml", text + "[measure]\nmemory = false\n");
  const auto report = RunIt();
  ASSERT_FALSE(report.ok());
  EXPECT_NE(report.error().message().find("suite.toml: rule 'memory.weights_ratio'"),
            std::string::npos)
      << report.error().message();
  EXPECT_EQ(Steps(), "-----");

  Write("suite.toml", text + "[measure]\nspeed = false\n");
  EXPECT_EQ(MustRun().verdict, "pass");
  EXPECT_TRUE(MustRun().evaluation["speed"].is_null());
}

TEST_F(RunTest, PipelineFilesAreCheckedFieldByField) {
  const auto message = [this](const std::string& text) {
    Write("octavo.toml", text);
    const auto pipeline = LoadPipeline(folder_ / "octavo.toml");
    return pipeline.ok() ? std::string("no error") : pipeline.error().message();
  };
  const std::string rest = "[eval]\nsuite = \"s.toml\"\n[promote]\nchannel = \"c\"\n";
  EXPECT_NE(message(rest).find("'base' is missing"), std::string::npos);
  EXPECT_NE(message("base = \"m\"\nbasis = 1\n" + rest).find("did you mean 'base'"),
            std::string::npos);
  EXPECT_NE(message("base = 3\n" + rest).find("'base'"), std::string::npos);
  EXPECT_NE(message("base = \"m\"\n[promote]\nchannel = \"c\"\n").find("[eval]: field 'suite'"),
            std::string::npos);
  EXPECT_NE(message("base = \"m\"\n[eval]\nsuite = \"s\"\nkv = 4\n[promote]\nchannel = \"c\"\n")
                .find("'kv' is 4, expected 32, 16 or 8"),
            std::string::npos);
  EXPECT_EQ(message("base = \"/abs/m\"\n" + rest), "no error");
  const Pipeline pipeline = LoadPipeline(folder_ / "octavo.toml").value();
  EXPECT_EQ(pipeline.base, "/abs/m");
  EXPECT_EQ(pipeline.suite, folder_ / "s.toml");
  EXPECT_EQ(pipeline.run_dir, folder_ / "octavo-run");
}

}  // namespace
}  // namespace octavo::workflow
