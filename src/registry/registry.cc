// Opening the store and reading from it.
#include "registry/registry.h"

#include <algorithm>
#include <cstdlib>

#include <fmt/format.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/bytes.h"
#include "core/file.h"
#include "core/hash.h"
#include "registry/lock.h"
#include "registry/rows.h"
#include "registry/schema.h"

namespace octavo::registry {
namespace {

using core::Json;
using core::Result;

// The known channels, for an error about one that is not.
std::string ChannelNames(const std::vector<Channel>& channels) {
  if (channels.empty()) return "there is none yet: octavo promote makes one";
  std::string names = "there is ";
  for (const Channel& channel : channels) {
    if (&channel != &channels.front()) names += ", ";
    names += channel.name;
  }
  return names;
}

}  // namespace

Registry::Registry(std::string home, Database database)
    : home_(std::move(home)),
      database_(std::move(database)),
      artifacts_(core::JoinPath(home_, "artifacts")) {}

Result<Registry> Registry::Open(const std::string& home) {
  const bool is_new = !core::FolderExists(home);
  OCTAVO_RETURN_IF_ERROR(core::MakeFolders(home));
  if (is_new) ::chmod(home.c_str(), 0700);  // best effort; the database has its own mode
  const std::string path = core::JoinPath(home, "registry.sqlite");
  const std::string lock_path = core::JoinPath(home, kLockName);

  if (!Database::HasWriteAheadLog(path)) {
    OCTAVO_TRY(const StoreLock lock, StoreLock::Wait(lock_path));
    OCTAVO_TRY(Database database, Database::Open(path));
    OCTAVO_RETURN_IF_ERROR(PrepareSchema(database, path));
  }
  OCTAVO_TRY(Database database, Database::Open(path));
  OCTAVO_TRY(const bool ready, HasSchema(database, path));
  if (!ready) {
    OCTAVO_TRY(const StoreLock lock, StoreLock::Wait(lock_path));
    OCTAVO_RETURN_IF_ERROR(PrepareSchema(database, path));
  }
  Registry registry(home, std::move(database));

  OCTAVO_TRY(const std::optional<StoreLock> lock, StoreLock::Try(lock_path));
  if (lock) OCTAVO_RETURN_IF_ERROR(registry.artifacts_.Sweep());
  return registry;
}

Result<std::vector<Channel>> Registry::Channels() {
  OCTAVO_TRY(Statement statement,
             database_.Prepare("SELECT name, to_digest, since FROM channels JOIN history ON "
                               "history.id = promotion ORDER BY name"));
  std::vector<Channel> channels;
  while (true) {
    OCTAVO_TRY(const bool row, statement.Step());
    if (!row) return channels;
    channels.push_back({statement.Text(0), statement.Text(1), artifacts_.PathOf(statement.Text(1)),
                        statement.Text(2)});
  }
}

Result<Channel> Registry::Resolve(const std::string& channel) {
  OCTAVO_TRY(const std::vector<Channel> channels, Channels());
  const auto found = std::find_if(channels.begin(), channels.end(),
                                  [&](const Channel& c) { return c.name == channel; });
  if (found == channels.end()) {
    return core::NotFound(fmt::format("no channel '{}' in {}; {}", core::Printable(channel), home_,
                                      ChannelNames(channels)));
  }
  const core::Status present = artifacts_.CheckPresent(found->digest);
  if (!present.ok()) {
    return core::NotFound(
        fmt::format("channel '{}': {}: promote the artifact again, or roll the channel back",
                    channel, present.error().message()));
  }
  return *found;
}

Result<std::vector<HistoryEntry>> Registry::History(const std::string& channel) {
  OCTAVO_TRY(Statement statement, database_.Prepare(std::string(kSelectHistory) +
                                                    " WHERE ?1 = '' OR channel = ?1 ORDER BY id"));
  statement.Bind(channel);
  return ReadHistory(statement);
}

Result<std::string> Registry::FindArtifact(const std::string& name) {
  constexpr size_t kLeastDigits = 8;
  const bool is_prefix = name.size() >= kLeastDigits && name.size() <= 64 &&
                         name.find_first_not_of("0123456789abcdef") == std::string::npos;
  std::vector<std::string> found;
  if (is_prefix) {
    OCTAVO_TRY(Statement statement,
               database_.Prepare("SELECT digest FROM artifacts WHERE substr(digest, 1, ?1) = ?2"));
    statement.Bind(static_cast<int64_t>(name.size())).Bind(name);
    while (true) {
      OCTAVO_TRY(const bool row, statement.Step());
      if (!row) break;
      found.push_back(statement.Text(0));
    }
  }
  if (found.size() == 1) return found.front();
  if (found.size() > 1) {
    return core::Invalid(
        fmt::format("{} artifacts start with '{}': give more digits", found.size(), name));
  }
  OCTAVO_TRY(const std::vector<Channel> channels, Channels());
  return core::NotFound(fmt::format(
      "'{}' is neither a channel nor the start (8 digits or more) of an artifact's digest "
      "in {}; of channels {}",
      core::Printable(name), home_, ChannelNames(channels)));
}

Result<Json> Registry::Document(const std::string& table, const std::string& digest) {
  OCTAVO_TRY(Statement statement,
             database_.Prepare(fmt::format("SELECT document FROM {} WHERE digest = ?", table)));
  statement.Bind(digest);
  OCTAVO_TRY(const bool row, statement.Step());
  if (!row) return Json();
  return core::ParseJson(statement.Text(0)).Context(table + " of the registry");
}

Result<Json> Registry::Show(const std::string& name) {
  OCTAVO_TRY(const std::vector<Channel> channels, Channels());
  std::string digest;
  for (const Channel& channel : channels) {
    if (channel.name == name) digest = channel.digest;
  }
  if (digest.empty()) {
    OCTAVO_TRY(digest, FindArtifact(name));
  }
  OCTAVO_TRY(Statement statement, database_.Prepare("SELECT base_digest, details, added_at FROM "
                                                    "artifacts WHERE digest = ?"));
  statement.Bind(digest);
  OCTAVO_RETURN_IF_ERROR(statement.Step());
  Json shown = {{"digest", digest},
                {"base_digest", statement.Text(0)},
                {"path", artifacts_.PathOf(digest)},
                {"present", artifacts_.CheckPresent(digest).ok()},
                {"added_at", statement.Text(2)}};
  OCTAVO_TRY(shown["details"], core::ParseJson(statement.Text(1)));
  shown["channels"] = Json::array();
  for (const Channel& channel : channels) {
    if (channel.digest == digest) shown["channels"].push_back(ToJson(channel));
  }
  OCTAVO_TRY(const std::vector<HistoryEntry> history, History(""));
  shown["history"] = Json::array();
  for (const HistoryEntry& entry : history) {
    if (entry.to_digest == digest || entry.from_digest == digest) {
      shown["history"].push_back(ToJson(entry));
    }
    if (entry.to_digest != digest) continue;
    OCTAVO_TRY(shown["evaluation"], Document("evaluations", entry.eval_digest));
    OCTAVO_TRY(shown["policy"], Document("policies", entry.policy_digest));
  }
  return shown;
}

Result<std::string> DefaultHome() {
  const char* home = std::getenv("OCTAVO_HOME");
  if (home != nullptr && *home != '\0') return std::string(home);
  const char* user_home = std::getenv("HOME");
  if (user_home != nullptr && *user_home != '\0') {
    return core::JoinPath(user_home, ".local/share/octavo");
  }
  return core::Usage(
      "neither OCTAVO_HOME nor HOME is set: set OCTAVO_HOME to a folder for the registry");
}

std::string CurrentUser() {
  const passwd* const user = ::getpwuid(::geteuid());
  char host[256] = "";
  ::gethostname(host, sizeof host - 1);
  return fmt::format("{}@{}", user != nullptr ? user->pw_name : fmt::format("uid{}", ::geteuid()),
                     host);
}

Json EvaluationRecord(const Json& evaluation) {
  Json record = evaluation;
  if (record.is_object()) record.erase("generations");
  return record;
}

std::string EvaluationDigest(const Json& evaluation) {
  return core::Sha256Hex(core::DumpJsonLine(EvaluationRecord(evaluation)));
}

Json ToJson(const HistoryEntry& entry) {
  return Json{{"id", entry.id},
              {"at", entry.at},
              {"who", entry.who},
              {"action", entry.action},
              {"channel", entry.channel},
              {"from_digest", entry.from_digest ? Json(*entry.from_digest) : Json()},
              {"to_digest", entry.to_digest},
              {"eval_digest", entry.eval_digest},
              {"policy_digest", entry.policy_digest},
              {"gate_report", entry.gate_report}};
}

Json ToJson(const Channel& channel) {
  return Json{{"name", channel.name},
              {"digest", channel.digest},
              {"path", channel.path},
              {"since", channel.since}};
}

}  // namespace octavo::registry
