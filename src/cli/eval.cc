// octavo eval: a candidate measured against its baseline.
#include <fmt/format.h>

#include "cli/command.h"
#include "cli/engine_arguments.h"
#include "cli/evaluation_tables.h"
#include "cli/print.h"
#include "core/file.h"
#include "eval/evaluate.h"

namespace octavo::cli {
namespace {

struct Arguments {
  std::string candidate;
  std::optional<std::string> baseline;
  std::optional<std::string> suite;
  std::vector<std::string> perplexity;
  std::vector<std::string> prompts;
  int64_t context = 512;
  int64_t chunks = 0;
  std::string score = "second-half";
  int64_t max_tokens = 48;
  bool no_speed = false;
  bool no_memory = false;
  bool stream = false;
  std::string spill = ".";
  std::optional<std::string> json;
  EngineArguments engine;
};

void Declare(Options& options, Arguments& a) {
  options.Positional("CANDIDATE", a.candidate, "the model folder to judge");
  options.Value("--baseline", "MODEL", a.baseline, "the 16-bit folder that it was made from");
  options.Value("--suite", "SUITE.toml", a.suite, "texts and prompts to measure on");
  options.Values("--perplexity", "TEXT", a.perplexity,
                 "a text file to measure on, without a suite; may be repeated");
  options.Value("--context", "N", a.context, "tokens of a window of --perplexity");
  options.Value("--chunks", "N", a.chunks, "first so many windows of --perplexity; 0: all");
  options.Choice("--score", {"second-half", "all"}, a.score, "scored tokens of each window");
  options.Values("--prompts", "F.jsonl", a.prompts,
                 "prompts that both models answer, without a suite; may be repeated");
  options.Value("--max-tokens", "N", a.max_tokens, "of an answer to --prompts");
  options.Flag("--no-speed", a.no_speed, "do not measure speed");
  options.Flag("--no-memory", a.no_memory, "do not measure memory");
  options.Flag("--stream", a.stream,
               "run both models block by block, as is done when they do not fit into memory");
  options.Value("--spill", "DIR", a.spill,
                "where hidden states go that do not fit into memory, in a file without a name");
  DeclareEngineOptions(options, a.engine);
  options.Value("--json", "OUT", a.json, "write the evaluation, as gate and promote read it");
}

core::Result<eval::Suite> SuiteOf(const Arguments& a) {
  if (a.suite) {
    if (!a.perplexity.empty() || !a.prompts.empty()) {
      return core::Usage(
          "--suite names texts and prompts itself; leave --perplexity and --prompts "
          "out");
    }
    return eval::LoadSuite(*a.suite);
  }
  eval::Suite suite;
  OCTAVO_TRY(const eval::Score score, eval::ParseScore(a.score));
  for (const std::string& file : a.perplexity) {
    suite.texts.push_back({eval::TextName(file), file, a.context, a.chunks, score});
  }
  for (const std::string& file : a.prompts) suite.prompts.push_back({file, a.max_tokens});
  if (suite.texts.empty() && suite.prompts.empty()) {
    return core::Usage("nothing to measure on: give --suite, --perplexity or --prompts");
  }
  return suite;
}

core::Result<Exit> Run(const Arguments& a, Context& context) {
  OCTAVO_TRY(eval::Suite suite, SuiteOf(a));
  suite.speed = suite.speed && !a.no_speed;
  suite.memory = suite.memory && !a.no_memory;
  const engine::EngineOptions engine = ToEngineOptions(a.engine, 0);
  eval::EvalOptions options{engine.threads, engine.compute, engine.kv};
  options.stream = a.stream;
  options.hidden.spill_folder = a.spill;
  OCTAVO_TRY(const core::Json document, eval::Evaluate(a.candidate, a.baseline, suite, options,
                                                       context.progress, context.cancel));
  if (a.json)
    OCTAVO_RETURN_IF_ERROR(core::WriteFileAtomic(*a.json, core::DumpJson(document), 0600));
  Print(EvaluationTable(document));
  OCTAVO_TRY(const bool complete, core::GetBool(document, "complete"));
  if (!complete) {
    PrintNote("interrupted: this is what was measured so far, and it passes no gate");
    return Exit::kFailed;
  }
  return Exit::kDone;
}

}  // namespace

Command EvalCommand() {
  return MakeCommand<Arguments>(
      "eval", "Measures a candidate against its 16-bit baseline",
      "octavo eval smollm2-w8a16 --baseline smollm2 --perplexity heldout.txt --json eval.json",
      Declare, Run);
}

}  // namespace octavo::cli
