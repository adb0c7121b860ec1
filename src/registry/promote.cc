// Promotion and rollback: evidence checked first, the artifact durable next, the switch one
// transaction.
#include <fmt/format.h>

#include "core/bytes.h"
#include "core/clock.h"
#include "core/file.h"
#include "core/hash.h"
#include "registry/lock.h"
#include "registry/registry.h"
#include "registry/rows.h"

namespace octavo::registry {
namespace {

using core::Invalid;
using core::Json;
using core::Result;
using core::Status;

// What a promotion rests on, once it has been found consistent.
struct Evidence {
  format::Manifest manifest;
  std::string digest;
  std::string base_digest;
  std::string eval_digest;
  std::string policy_digest;
};

Status CheckChannelName(const std::string& name) {
  const bool good =
      !name.empty() && name.size() <= 64 && name[0] != '.' &&
      name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789._-") == std::string::npos;
  if (good) return {};
  return core::Usage(fmt::format(
      "channel '{}': expected up to 64 of a-z, 0-9, '.', '_', '-', not starting with a dot",
      core::Printable(name)));
}

// `document`'s field must be `expected`; `meaning` says what both are.
Status CheckSame(const Json& document, std::string_view document_name, std::string_view field,
                 const std::string& expected, std::string_view meaning) {
  auto value = core::GetString(document, field);
  if (!value.ok()) return std::move(value).error().Context(document_name);
  if (value.value() == expected) return {};
  return Invalid(
      fmt::format("{}: {} is {}, expected {} ({}): evaluate this artifact against its base "
                  "and promote with that evaluation",
                  document_name, field, core::Printable(value.value(), 64), expected, meaning));
}

Result<Evidence> CheckEvidence(const PromotionRequest& request) {
  Evidence evidence;
  OCTAVO_TRY(evidence.manifest, format::ReadManifest(request.artifact_dir));
  if (evidence.manifest.kind != "artifact") {
    return Invalid(fmt::format(
        "{}: is a model of kind '{}': only artifacts, which octavo quantize makes, "
        "can be promoted",
        core::PrintablePath(request.artifact_dir), core::Printable(evidence.manifest.kind)));
  }
  evidence.digest = format::ContentDigest(evidence.manifest);
  OCTAVO_TRY(evidence.base_digest,
             core::GetString(evidence.manifest.details, "base_digest")
                 .Context(core::JoinPath(request.artifact_dir, format::kManifestName)));
  evidence.eval_digest = EvaluationDigest(request.evaluation);
  evidence.policy_digest = core::Sha256Hex(core::DumpJsonLine(request.policy));

  OCTAVO_TRY(const std::string verdict,
             core::GetString(request.gate_report, "verdict").Context("gate report"));
  if (verdict != "pass") {
    return Invalid(
        fmt::format("the gate's verdict is '{}', expected 'pass'", core::Printable(verdict)));
  }
  OCTAVO_TRY(const bool complete,
             core::GetBool(request.evaluation, "complete").Context("evaluation"));
  if (!complete) return Invalid("evaluation: it is not complete: run octavo eval again");
  for (const auto& [document, name] : {std::pair(&request.evaluation, "evaluation"),
                                       std::pair(&request.gate_report, "gate report")}) {
    OCTAVO_RETURN_IF_ERROR(
        CheckSame(*document, name, "candidate_digest", evidence.digest, "the artifact to promote"));
    OCTAVO_RETURN_IF_ERROR(CheckSame(*document, name, "baseline_digest", evidence.base_digest,
                                     "the base that the artifact's octavo.json names"));
  }
  OCTAVO_RETURN_IF_ERROR(CheckSame(request.gate_report, "gate report", "policy_digest",
                                   evidence.policy_digest, "the policy given"));
  return evidence;
}

// The promotion in force on a channel.
struct InForce {
  HistoryEntry entry;
  std::optional<int64_t> previous;
};

Result<std::optional<InForce>> FindInForce(Database& database, const std::string& channel) {
  OCTAVO_TRY(Statement statement,
             database.Prepare(std::string(kSelectHistory) +
                              " WHERE id = (SELECT promotion FROM channels WHERE name = ?)"));
  statement.Bind(channel);
  OCTAVO_TRY(std::vector<HistoryEntry> entries, ReadHistory(statement));
  if (entries.empty()) return std::optional<InForce>();
  OCTAVO_TRY(Statement link, database.Prepare("SELECT previous FROM history WHERE id = ?"));
  link.Bind(entries.front().id);
  OCTAVO_RETURN_IF_ERROR(link.Step());
  return std::optional(InForce{std::move(entries.front()), link.OptionalInt(0)});
}

Status InsertDocument(Database& database, std::string_view sql, const std::string& digest,
                      const std::string& document) {
  OCTAVO_TRY(Statement statement, database.Prepare(sql));
  return statement.Bind(digest).Bind(document).Run();
}

// Appends `entry`, giving it its id.
Status Append(Database& database, HistoryEntry& entry, const std::optional<int64_t>& previous) {
  OCTAVO_TRY(
      Statement statement,
      database.Prepare("INSERT INTO history (at, who, action, channel, from_digest, to_digest, "
                       "eval_digest, policy_digest, gate_report, previous) VALUES "
                       "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id"));
  statement.Bind(entry.at).Bind(entry.who).Bind(entry.action).Bind(entry.channel);
  statement.BindOptional(entry.from_digest).Bind(entry.to_digest).Bind(entry.eval_digest);
  statement.Bind(entry.policy_digest)
      .Bind(core::DumpJsonLine(entry.gate_report))
      .BindOptional(previous);
  OCTAVO_RETURN_IF_ERROR(statement.Step());
  entry.id = statement.Int(0);
  return {};
}

Status PointChannel(Database& database, const std::string& channel, int64_t promotion,
                    const std::string& at) {
  OCTAVO_TRY(
      Statement statement,
      database.Prepare("INSERT INTO channels (name, promotion, since) VALUES (?, ?, ?) ON "
                       "CONFLICT (name) DO UPDATE SET promotion = excluded.promotion, since = "
                       "excluded.since"));
  return statement.Bind(channel).Bind(promotion).Bind(at).Run();
}

// Records artifact, evaluation and policy, where they are new.
Status RecordEvidence(Database& database, const PromotionRequest& request, const Evidence& evidence,
                      const std::string& at) {
  OCTAVO_TRY(Statement artifact,
             database.Prepare("INSERT OR IGNORE INTO artifacts VALUES (?, ?, ?, ?)"));
  OCTAVO_RETURN_IF_ERROR(artifact.Bind(evidence.digest)
                             .Bind(evidence.base_digest)
                             .Bind(core::DumpJsonLine(evidence.manifest.details))
                             .Bind(at)
                             .Run());
  OCTAVO_RETURN_IF_ERROR(InsertDocument(database, "INSERT OR IGNORE INTO evaluations VALUES (?, ?)",
                                        evidence.eval_digest,
                                        core::DumpJsonLine(EvaluationRecord(request.evaluation))));
  return InsertDocument(database, "INSERT OR IGNORE INTO policies VALUES (?, ?)",
                        evidence.policy_digest, core::DumpJsonLine(request.policy));
}

}  // namespace

Result<HistoryEntry> Registry::Promote(const PromotionRequest& request, core::Progress& progress) {
  OCTAVO_RETURN_IF_ERROR(CheckChannelName(request.channel));
  OCTAVO_TRY(const Evidence evidence, CheckEvidence(request));
  OCTAVO_TRY(const StoreLock lock, StoreLock::Wait(core::JoinPath(home_, kLockName)));
  OCTAVO_RETURN_IF_ERROR(artifacts_.Put(request.artifact_dir, evidence.manifest, progress));

  progress.Begin("switch channel", 1, "channels");
  OCTAVO_TRY(Transaction transaction, Transaction::Begin(database_));
  OCTAVO_TRY(const std::optional<InForce> current, FindInForce(database_, request.channel));
  const bool same = current && current->entry.to_digest == evidence.digest;
  if (same && current->entry.eval_digest == evidence.eval_digest &&
      current->entry.policy_digest == evidence.policy_digest) {
    progress.End();
    return current->entry;
  }
  HistoryEntry entry;
  entry.at = core::UtcNow();
  entry.who = request.who;
  entry.action = "promote";
  entry.channel = request.channel;
  if (current) entry.from_digest = current->entry.to_digest;
  entry.to_digest = evidence.digest;
  entry.eval_digest = evidence.eval_digest;
  entry.policy_digest = evidence.policy_digest;
  entry.gate_report = request.gate_report;
  OCTAVO_RETURN_IF_ERROR(RecordEvidence(database_, request, evidence, entry.at));
  // New evidence for the same artifact takes the old promotion's place in the chain: a rollback
  // must change what is served.
  std::optional<int64_t> previous;
  if (current) previous = same ? current->previous : std::optional(current->entry.id);
  OCTAVO_RETURN_IF_ERROR(Append(database_, entry, previous));
  OCTAVO_RETURN_IF_ERROR(PointChannel(database_, request.channel, entry.id, entry.at));
  progress.Advance(1);
  OCTAVO_RETURN_IF_ERROR(transaction.Commit());
  progress.End();
  return entry;
}

Result<HistoryEntry> Registry::Rollback(const std::string& channel, const std::string& who) {
  OCTAVO_TRY(const StoreLock lock, StoreLock::Wait(core::JoinPath(home_, kLockName)));
  OCTAVO_TRY(Transaction transaction, Transaction::Begin(database_));
  OCTAVO_TRY(const std::optional<InForce> current, FindInForce(database_, channel));
  if (!current) return core::NotFound(fmt::format("no channel '{}'", core::Printable(channel)));
  if (!current->previous) {
    return core::NotFound(fmt::format("channel '{}' has nothing before {} to roll back to", channel,
                                      current->entry.to_digest));
  }
  OCTAVO_TRY(Statement statement, database_.Prepare(std::string(kSelectHistory) + " WHERE id = ?"));
  statement.Bind(*current->previous);
  OCTAVO_TRY(std::vector<HistoryEntry> restored, ReadHistory(statement));
  if (restored.empty()) {
    return Invalid(fmt::format("the history has lost entry {}: restore the registry from a backup",
                               *current->previous));
  }
  HistoryEntry entry = std::move(restored.front());
  const int64_t promotion = entry.id;
  OCTAVO_RETURN_IF_ERROR(
      artifacts_.CheckPresent(entry.to_digest).Context(fmt::format("channel '{}'", channel)));
  entry.at = core::UtcNow();
  entry.who = who;
  entry.action = "rollback";
  entry.from_digest = current->entry.to_digest;
  OCTAVO_RETURN_IF_ERROR(Append(database_, entry, std::nullopt));
  OCTAVO_RETURN_IF_ERROR(PointChannel(database_, channel, promotion, entry.at));
  OCTAVO_RETURN_IF_ERROR(transaction.Commit());
  return entry;
}

}  // namespace octavo::registry
