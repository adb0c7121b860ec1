// octavo gate: an evaluation judged by a policy.
#include <fmt/format.h>

#include "cli/command.h"
#include "cli/evaluation_tables.h"
#include "cli/print.h"
#include "cli/verdict.h"
#include "workflow/promotion.h"

namespace octavo::cli {
namespace {

struct Arguments {
  std::string evaluation;
  std::optional<std::string> policy;
  bool json = false;
};

void Declare(Options& options, Arguments& a) {
  options.Positional("EVAL.json", a.evaluation, "what `octavo eval --json` wrote");
  options.Value("--policy", "P.toml", a.policy, "the rules; octavo's own if not given");
  options.Flag("--json", a.json, "print the judgement as JSON");
}

core::Result<Exit> Run(const Arguments& a, Context&) {
  OCTAVO_TRY(const workflow::Judgement judgement, workflow::Judge(a.evaluation, a.policy));
  const core::Json report = eval::GateReportJson(judgement.report);
  if (a.json) {
    PrintJson(report);
  } else {
    Print(GateTable(report) + "\n" + VerdictSentence(judgement.report.verdict) + "\n");
  }
  return VerdictExit(judgement.report.verdict);
}

}  // namespace

Command GateCommand() {
  return MakeCommand<Arguments>("gate", "Judges an evaluation: pass (0), fail (3), undecided (4)",
                                "octavo gate eval.json --policy policy.toml", Declare, Run);
}

}  // namespace octavo::cli
