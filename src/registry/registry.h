// The registry: which artifact each channel serves, why it was let in, and everything that ever
// happened to a channel.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/json.h"
#include "core/progress.h"
#include "core/result.h"
#include "registry/artifact_store.h"
#include "registry/database.h"

namespace octavo::registry {

struct PromotionRequest {
  std::string artifact_dir;
  std::string channel;     // [a-z0-9._-], at most 64, not starting with a dot
  core::Json evaluation;   // the document of `octavo eval`
  core::Json policy;       // in its normal form
  core::Json gate_report;  // the gate's judgement of that evaluation by that policy
  std::string who;
};

struct HistoryEntry {
  int64_t id = 0;
  std::string at;  // UTC
  std::string who;
  std::string action;  // "promote" or "rollback"
  std::string channel;
  std::optional<std::string> from_digest;  // what the channel served before
  std::string to_digest;
  std::string eval_digest;
  std::string policy_digest;
  core::Json gate_report;
};

struct Channel {
  std::string name;
  std::string digest;
  std::string path;   // the artifact's folder in the store
  std::string since;  // UTC
};

// $OCTAVO_HOME: registry.sqlite, registry.lock, artifacts/DIGEST. Any number of processes may use
// one store; one at a time changes it. Not thread-safe: one object for each thread.
class Registry {
 public:
  // Opens or creates the store (folder 0700, database 0600) and, unless another process is changing
  // it, removes what killed processes left behind.
  static core::Result<Registry> Open(const std::string& home);

  // Lets the artifact into the store and switches the channel to it: the artifact is copied,
  // verified and durable first, then one transaction records everything and switches. Killed at any
  // moment, the channel serves either the old or the new artifact, whole. Refused unless the gate
  // passed this very evaluation by this very policy, the evaluation is of this artifact, and its
  // baseline is the base that octavo.json names. Promoting what the channel serves, on the same
  // evidence, changes nothing and returns the entry that exists.
  core::Result<HistoryEntry> Promote(const PromotionRequest& request, core::Progress& progress);
  // Switches the channel back to what it served before the promotion in force; repeated, it goes
  // further back.
  core::Result<HistoryEntry> Rollback(const std::string& channel, const std::string& who);

  // What the channel serves; an Error when that artifact is not there and whole (file by file,
  // weights not re-read).
  core::Result<Channel> Resolve(const std::string& channel);
  core::Result<std::vector<Channel>> Channels();
  // Oldest first; all channels when `channel` is empty.
  core::Result<std::vector<HistoryEntry>> History(const std::string& channel);
  // Everything about a channel, or about the artifact whose digest starts with `name` (8 digits or
  // more): digest, base, path, manifest details, channels, history, and the evaluation and policy
  // of its last promotion.
  core::Result<core::Json> Show(const std::string& name);

 private:
  Registry(std::string home, Database database);
  core::Result<std::string> FindArtifact(const std::string& name);
  core::Result<core::Json> Document(const std::string& table, const std::string& digest);

  std::string home_;
  Database database_;
  ArtifactStore artifacts_;
};

// $OCTAVO_HOME, or ~/.local/share/octavo.
core::Result<std::string> DefaultHome();
// "user@host", for the history.
std::string CurrentUser();

core::Json ToJson(const HistoryEntry& entry);
core::Json ToJson(const Channel& channel);

// What the registry keeps of an evaluation, and its SHA-256: all but `generations`, since prompts
// are production data.
core::Json EvaluationRecord(const core::Json& evaluation);
std::string EvaluationDigest(const core::Json& evaluation);

}  // namespace octavo::registry
