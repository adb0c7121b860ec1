// octavo promote: an artifact that passes its gate becomes what a channel serves.
#include <fmt/format.h>

#include "cli/command.h"
#include "cli/evaluation_tables.h"
#include "cli/print.h"
#include "cli/verdict.h"
#include "workflow/promotion.h"

namespace octavo::cli {
namespace {

struct Arguments {
  std::string artifact;
  std::string channel;
  std::string evaluation;
  std::optional<std::string> policy;
  bool json = false;
};

void Declare(Options& options, Arguments& a) {
  options.Positional("ARTIFACT", a.artifact, "the folder that `octavo quantize` made");
  options.Required("--channel", "NAME", a.channel, "the channel to switch to it");
  options.Required("--eval", "EVAL.json", a.evaluation, "its evaluation");
  options.Value("--policy", "P.toml", a.policy, "the rules; octavo's own if not given");
  options.Flag("--json", a.json, "print the history entry as JSON");
}

core::Result<Exit> Run(const Arguments& a, Context& context) {
  OCTAVO_TRY(const workflow::Judgement judgement, workflow::Judge(a.evaluation, a.policy));
  if (judgement.report.verdict != eval::Verdict::kPass) {
    Print(GateTable(eval::GateReportJson(judgement.report)));
    PrintNote("not promoted; " + VerdictSentence(judgement.report.verdict));
    return VerdictExit(judgement.report.verdict);
  }
  OCTAVO_TRY(const std::string home, registry::DefaultHome());
  OCTAVO_TRY(const registry::HistoryEntry entry,
             workflow::Promote(judgement, a.artifact, a.channel, home, context.progress));
  if (a.json) {
    PrintJson(registry::ToJson(entry));
  } else {
    Print(fmt::format(
        "{} serves {:.12}{}\n", entry.channel, entry.to_digest,
        entry.from_digest ? fmt::format(" (before: {:.12})", *entry.from_digest) : std::string()));
  }
  return Exit::kDone;
}

}  // namespace

Command PromoteCommand() {
  return MakeCommand<Arguments>(
      "promote", "Switches a channel to an artifact that passed its gate",
      "octavo promote smollm2-w8a16 --channel production --eval eval.json", Declare, Run);
}

}  // namespace octavo::cli
