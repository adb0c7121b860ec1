// Rows of the registry as values.
#include "registry/rows.h"

#include <fmt/format.h>

namespace octavo::registry {

core::Result<std::vector<HistoryEntry>> ReadHistory(Statement& statement) {
  std::vector<HistoryEntry> entries;
  while (true) {
    OCTAVO_TRY(const bool row, statement.Step());
    if (!row) return entries;
    HistoryEntry entry;
    entry.id = statement.Int(0);
    entry.at = statement.Text(1);
    entry.who = statement.Text(2);
    entry.action = statement.Text(3);
    entry.channel = statement.Text(4);
    entry.from_digest = statement.OptionalText(5);
    entry.to_digest = statement.Text(6);
    entry.eval_digest = statement.Text(7);
    entry.policy_digest = statement.Text(8);
    OCTAVO_TRY(
        entry.gate_report,
        core::ParseJson(statement.Text(9)).Context(fmt::format("history entry {}", entry.id)));
    entries.push_back(std::move(entry));
  }
}

}  // namespace octavo::registry
