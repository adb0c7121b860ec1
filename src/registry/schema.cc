// Facts are written once: triggers refuse to change or remove a row of anything but `channels`,
// which only points into the history.
#include "registry/schema.h"

#include <string>

#include <fmt/format.h>

#include "core/bytes.h"

namespace octavo::registry {
namespace {

using core::Result;
using core::Status;

// "octv": tells a registry from any other SQLite file.
constexpr int64_t kApplicationId = 0x6f637476;

constexpr const char* kTables = R"(
CREATE TABLE artifacts (
  digest TEXT PRIMARY KEY,
  base_digest TEXT NOT NULL,
  details TEXT NOT NULL,          -- of octavo.json: scheme, method, seed
  added_at TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE evaluations (
  digest TEXT PRIMARY KEY,
  document TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE policies (
  digest TEXT PRIMARY KEY,
  document TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE history (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  at TEXT NOT NULL,
  who TEXT NOT NULL,
  action TEXT NOT NULL CHECK (action IN ('promote', 'rollback')),
  channel TEXT NOT NULL,
  from_digest TEXT REFERENCES artifacts,
  to_digest TEXT NOT NULL REFERENCES artifacts,
  eval_digest TEXT NOT NULL REFERENCES evaluations,
  policy_digest TEXT NOT NULL REFERENCES policies,
  gate_report TEXT NOT NULL,
  previous INTEGER REFERENCES history  -- of a promotion: the one that a rollback brings back
) STRICT;
CREATE INDEX history_by_channel ON history (channel, id);
CREATE TABLE channels (
  name TEXT PRIMARY KEY,
  promotion INTEGER NOT NULL REFERENCES history,  -- the one in force
  since TEXT NOT NULL
) STRICT, WITHOUT ROWID;
)";

Result<int64_t> Pragma(Database& database, const std::string& name) {
  OCTAVO_TRY(Statement statement, database.Prepare("PRAGMA " + name));
  OCTAVO_TRY(const bool row, statement.Step());
  return row ? statement.Int(0) : 0;
}

Result<bool> IsEmpty(Database& database) {
  OCTAVO_TRY(Statement statement, database.Prepare("SELECT count(*) FROM sqlite_schema"));
  OCTAVO_RETURN_IF_ERROR(statement.Step());
  return statement.Int(0) == 0;
}

}  // namespace

Result<bool> HasSchema(Database& database, const std::string& path) {
  OCTAVO_TRY(const int64_t application, Pragma(database, "application_id"));
  OCTAVO_TRY(const int64_t version, Pragma(database, "user_version"));
  if (application == 0 && version == 0) {
    OCTAVO_TRY(const bool empty, IsEmpty(database));
    if (empty) return false;
  }
  if (application != kApplicationId) {
    return core::Invalid(fmt::format(
        "{}: is a database of another program, not an octavo registry: choose another OCTAVO_HOME",
        core::PrintablePath(path)));
  }
  if (version != kSchemaVersion) {
    return core::Unsupported(fmt::format(
        "{}: has registry version {}, this octavo reads {}: use the octavo that wrote it",
        core::PrintablePath(path), version, kSchemaVersion));
  }
  return true;
}

Status PrepareSchema(Database& database, const std::string& path) {
  OCTAVO_TRY(const bool ready, HasSchema(database, path));
  if (ready) return {};
  OCTAVO_RETURN_IF_ERROR(database.UseWriteAheadLog());
  OCTAVO_TRY(Transaction transaction, Transaction::Begin(database));
  OCTAVO_RETURN_IF_ERROR(database.Execute(kTables));
  for (const char* table : {"artifacts", "evaluations", "policies", "history"}) {
    for (const char* change : {"UPDATE", "DELETE"}) {
      OCTAVO_RETURN_IF_ERROR(database.Execute(fmt::format(
          "CREATE TRIGGER no_{1}_of_{0} BEFORE {1} ON {0} BEGIN SELECT RAISE(ABORT, '{0} is "
          "append-only'); END",
          table, change)));
    }
  }
  OCTAVO_RETURN_IF_ERROR(database.Execute(fmt::format(
      "PRAGMA application_id={}; PRAGMA user_version={}", kApplicationId, kSchemaVersion)));
  return transaction.Commit();
}

}  // namespace octavo::registry
