// The program as its users meet it: help, version, wrong usage, and a few whole commands.
#include "cli/commands.h"

#include <gtest/gtest.h>

#include "core/file.h"
#include "core/json.h"
#include "core/temp_folder.h"
#include "core/version.h"
#include "engine/fixture.h"
#include "workflow/fixture.h"

namespace octavo::cli {
namespace {

struct Outcome {
  Exit exit;
  std::string out;
  std::string err;
};

Outcome RunProgram(const std::vector<std::string>& arguments) {
  TerminalProgress progress([](std::string_view) {}, 0, [] { return 0.0; });
  core::CancelToken cancel;
  Context context{progress, cancel};
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  const Exit exit = RunCommandLine(arguments, context);
  std::string out = testing::internal::GetCapturedStdout();
  return {exit, std::move(out), testing::internal::GetCapturedStderr()};
}

const std::string kModel = std::string(OCTAVO_TESTDATA) + "/architectures/llama";

TEST(Program, WithoutArgumentsListsTheCommands) {
  const Outcome bare = RunProgram({});
  EXPECT_EQ(bare.exit, Exit::kDone);
  for (const Command& command : AllCommands()) {
    EXPECT_NE(bare.out.find("  " + std::string(command.name) + " "), std::string::npos);
  }
  EXPECT_EQ(RunProgram({"--help"}).out, bare.out);
  EXPECT_EQ(RunProgram({"--version"}).out, "octavo " + std::string(core::kVersion) + "\n");
}

TEST(Program, EveryCommandHasHelpWithAnExampleOfItself) {
  for (const Command& command : AllCommands()) {
    const std::string name(command.name);
    const Outcome help = RunProgram({name, "--help"});
    EXPECT_EQ(help.exit, Exit::kDone) << name;
    EXPECT_NE(help.out.find(command.summary), std::string::npos) << name;
    EXPECT_NE(help.out.find("Usage: octavo " + name), std::string::npos) << name;
    EXPECT_EQ(command.example.find("octavo " + name), 0U) << name;
    EXPECT_NE(help.out.find(command.example), std::string::npos) << name;
    for (size_t at = 0; at < help.out.size();) {
      const size_t end = help.out.find('\n', at);
      EXPECT_LE(end - at, 100U) << help.out.substr(at, end - at);
      at = end + 1;
    }
  }
}

TEST(Program, WrongUsageIsExitTwoAndSaysWhereToLook) {
  const Outcome unknown = RunProgram({"quantise", kModel});
  EXPECT_EQ(unknown.exit, Exit::kUsage);
  EXPECT_EQ(unknown.err,
            "octavo: error: unknown command 'quantise'; did you mean 'quantize'?\n"
            "octavo: try `octavo --help`\n");
  for (const Command& command : AllCommands()) {
    const Outcome wrong = RunProgram({std::string(command.name), "--no-such-option"});
    EXPECT_EQ(wrong.exit, Exit::kUsage) << command.name;
    EXPECT_NE(wrong.err.find("--help`"), std::string::npos) << wrong.err;
    EXPECT_EQ(wrong.out, "");
  }
}

TEST(Program, QuantizeAndLogitsWorkOnAFolder) {
  const core::TempFolder temp;
  const Outcome quantized = RunProgram({"quantize", kModel, "--out", temp / "q", "--json"});
  ASSERT_EQ(quantized.exit, Exit::kDone) << quantized.err;
  const core::Json summary = core::ParseJson(quantized.out).value();
  EXPECT_EQ(summary["scheme"], "w8a16");
  EXPECT_EQ(summary["layers"], 21);

  std::vector<std::string> files;
  for (const char* form : {"", "--stepwise", "--batched"}) {
    const std::string out = temp / ("logits" + std::string(form));
    std::vector<std::string> arguments = {"logits", temp / "q", "--tokens", kModel + "/tokens.json",
                                          "--out",  out};
    if (*form != '\0') arguments.emplace_back(form);
    const Outcome logits = RunProgram(arguments);
    ASSERT_EQ(logits.exit, Exit::kDone) << logits.err;
    files.push_back(core::ReadFile(out).value());
  }
  EXPECT_EQ(files[0], files[1]);
  EXPECT_EQ(files[0], files[2]);
}

TEST(Program, FailuresAreOneLineAndExitOne) {
  const core::TempFolder temp;
  const std::vector<std::vector<std::string>> wrong = {
      {"pull", temp / "nothing", "--out", temp / "o"},
      {"quantize", temp / "nothing"},
      {"logits", kModel, "--tokens", kModel + "/config.json", "--out", temp / "o"},
      {"generate", kModel, "--prompt", "no tokenizer here"},
      {"eval", kModel, "--perplexity", temp / "nothing"},
      {"gate", kModel + "/config.json"},
      {"run", temp / "octavo.toml"},
      {"bench", temp / "nothing"},
      {"doctor", temp / "nothing"}};
  for (const std::vector<std::string>& arguments : wrong) {
    const Outcome outcome = RunProgram(arguments);
    EXPECT_EQ(outcome.exit, Exit::kFailed) << arguments[0] << outcome.err;
    EXPECT_EQ(outcome.err.find("octavo: error: "), 0U) << outcome.err;
    EXPECT_EQ(outcome.err.find('\n'), outcome.err.size() - 1) << outcome.err;
    EXPECT_TRUE(core::ListFolder(temp.path()).value().empty()) << arguments[0];
  }
}

TEST(Program, DoctorReportsEveryLayer) {
  const Outcome doctor = RunProgram({"doctor", kModel, "--json"});
  ASSERT_EQ(doctor.exit, Exit::kDone) << doctor.err;
  const core::Json report = core::ParseJson(doctor.out).value();
  EXPECT_EQ(report["layers"].size(), 3 * 7 + 1U);
  for (const core::Json& layer : report["layers"]) EXPECT_GT(layer["calls"], 0) << layer;
  EXPECT_EQ(report["int8_fraction_of_linear_weights"], 0);
}

TEST(Program, DoctorAndServeRefuseALayerThatFallsBack) {
  const core::TempFolder temp;
  const std::string artifact = temp / "artifact";
  const std::string base = temp / "base";
  ASSERT_NO_FATAL_FAILURE(engine::WriteModelWithTokenizer("llama", "byte_level", base));
  ASSERT_EQ(RunProgram({"quantize", base, "--out", artifact}).exit, Exit::kDone);
  const Outcome whole = RunProgram({"doctor", artifact});
  EXPECT_EQ(whole.exit, Exit::kDone) << whole.err;
  EXPECT_EQ(whole.out.find("FALLBACK"), std::string::npos) << whole.out;

  ASSERT_NO_FATAL_FAILURE(workflow::PutFloatsBack(base, artifact, "model.layers.2.mlp.gate_proj"));
  const Outcome broken = RunProgram({"doctor", artifact});
  EXPECT_EQ(broken.exit, Exit::kFailed);
  EXPECT_NE(broken.out.find("FALLBACK: model.layers.2.mlp.gate_proj is stored as F32, held as F32 "
                            "and ran w32a32; octavo.json promises w8a16\n"),
            std::string::npos)
      << broken.out;
  const Outcome refused = RunProgram({"serve", artifact, "--port", "0", "--require-int8"});
  EXPECT_EQ(refused.exit, Exit::kFailed);
  EXPECT_NE(refused.err.find("--require-int8: layer model.layers.2.mlp.gate_proj"),
            std::string::npos)
      << refused.err;
}

TEST(Program, BenchFillsTheFieldsThatItMeasures) {
  const Outcome bench = RunProgram({"bench", kModel, "--prefill", "16", "--decode", "2",
                                    "--context", "8", "--batch", "1,2", "--no-limits", "--json"});
  ASSERT_EQ(bench.exit, Exit::kDone) << bench.err;
  const core::Json json = core::ParseJson(bench.out).value();
  EXPECT_GT(json["prefill"][0]["tokens_per_s"], 0);
  EXPECT_GT(json["prefill"][0]["linear_share"], 0);
  EXPECT_LT(json["prefill"][0]["linear_share"], 1);
  EXPECT_TRUE(json["prefill"][0]["fraction_of_limit"].is_null());
  EXPECT_EQ(json["decode"][1]["batch"], 2);
  EXPECT_GT(json["decode"][1]["tokens_per_s"], 0);
  EXPECT_GT(json["weights_bytes"], 0);
  EXPECT_TRUE(json["machine"]["read_gb_per_s"].is_null());
  const Outcome table = RunProgram(
      {"bench", kModel, "--prefill", "16", "--decode", "2", "--context", "8", "--no-limits"});
  ASSERT_EQ(table.exit, Exit::kDone) << table.err;
  EXPECT_NE(table.out.find("decode, batch 1, behind 8 tokens"), std::string::npos) << table.out;
}

TEST(Program, BenchMakesADummyOfAnyShapeAndComparesSchemes) {
  const core::TempFolder temp;
  for (const char* scheme : {"16", "w8a16", "w8a8"}) {
    const Outcome bench = RunProgram({"bench", "--dummy", kModel, "--scheme", scheme, "--head", "8",
                                      "--prefill", "16", "--decode", "2", "--context", "8",
                                      "--no-limits", "--json", "--write", temp / scheme});
    ASSERT_EQ(bench.exit, Exit::kDone) << bench.err;
    EXPECT_EQ(core::ParseJson(bench.out).value()["scheme"], scheme);
    const Outcome doctor = RunProgram({"doctor", temp / scheme, "--json"});
    ASSERT_EQ(doctor.exit, Exit::kDone) << doctor.err;
    const core::Json report = core::ParseJson(doctor.out).value();
    EXPECT_EQ(report["layers"].back()["stored"], "I8");
  }
  const Outcome crossover =
      RunProgram({"bench", "--dummy", kModel, "--crossover", "--batch", "1,2", "--prefill", "16",
                  "--decode", "2", "--context", "8", "--no-limits", "--json"});
  ASSERT_EQ(crossover.exit, Exit::kDone) << crossover.err;
  const core::Json document = core::ParseJson(crossover.out).value();
  EXPECT_EQ(document["winners"].size(), 3U);
  EXPECT_EQ(document["crossover"][0]["tokens_per_s"].size(), 3U);
}

}  // namespace
}  // namespace octavo::cli
