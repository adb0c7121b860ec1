// octavo history: what happened to the channels, oldest first.
#include <fmt/format.h>

#include "cli/command.h"
#include "cli/print.h"
#include "cli/table.h"
#include "registry/registry.h"

namespace octavo::cli {
namespace {

struct Arguments {
  std::string channel;
  bool json = false;
};

void Declare(Options& options, Arguments& a) {
  options.OptionalPositional("CHANNEL", "--channel", a.channel, "this one only");
  options.Flag("--json", a.json, "print the entries as JSON");
}

core::Result<Exit> Run(const Arguments& a, Context&) {
  OCTAVO_TRY(const std::string home, registry::DefaultHome());
  OCTAVO_TRY(registry::Registry store, registry::Registry::Open(home));
  OCTAVO_TRY(const std::vector<registry::HistoryEntry> entries, store.History(a.channel));
  if (a.json) {
    core::Json list = core::Json::array();
    for (const registry::HistoryEntry& entry : entries) list.push_back(registry::ToJson(entry));
    PrintJson(list);
    return Exit::kDone;
  }
  if (entries.empty()) {
    Print("nothing has been promoted\n");
    return Exit::kDone;
  }
  Table table({"at", "who", "action", "channel", "from", "to"});
  for (const registry::HistoryEntry& entry : entries) {
    table.Add({entry.at, entry.who, entry.action, entry.channel,
               entry.from_digest.value_or("").substr(0, 12), entry.to_digest.substr(0, 12)});
  }
  Print(table.Render());
  return Exit::kDone;
}

}  // namespace

Command HistoryCommand() {
  return MakeCommand<Arguments>("history", "Lists promotions and rollbacks, oldest first",
                                "octavo history production", Declare, Run);
}

}  // namespace octavo::cli
