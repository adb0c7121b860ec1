// octavo rollback: a channel goes back to what it served before.
#include <fmt/format.h>

#include "cli/command.h"
#include "cli/print.h"
#include "registry/registry.h"

namespace octavo::cli {
namespace {

struct Arguments {
  std::string channel;
  bool json = false;
};

void Declare(Options& options, Arguments& a) {
  options.Positional("CHANNEL", a.channel, "the channel; repeated, it goes further back");
  options.Flag("--json", a.json, "print the history entry as JSON");
}

core::Result<Exit> Run(const Arguments& a, Context&) {
  OCTAVO_TRY(const std::string home, registry::DefaultHome());
  OCTAVO_TRY(registry::Registry store, registry::Registry::Open(home));
  OCTAVO_TRY(const registry::HistoryEntry entry,
             store.Rollback(a.channel, registry::CurrentUser()));
  if (a.json) {
    PrintJson(registry::ToJson(entry));
  } else {
    Print(fmt::format("{} serves {:.12} again\n", entry.channel, entry.to_digest));
  }
  return Exit::kDone;
}

}  // namespace

Command RollbackCommand() {
  return MakeCommand<Arguments>("rollback", "Switches a channel back to what it served before",
                                "octavo rollback production", Declare, Run);
}

}  // namespace octavo::cli
