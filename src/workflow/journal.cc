#include "workflow/journal.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include "core/file.h"
#include "core/hash.h"
#include "core/version.h"

namespace octavo::workflow {
namespace {

constexpr int64_t kSchema = 1;

// Size, and times in nanoseconds: what a file must keep to count as unchanged.
core::Result<core::Json> Identity(const std::string& path) {
  struct stat s {};
  if (::stat(path.c_str(), &s) != 0) return core::NotFound(path + ": does not exist");
  const auto ns = [](const timespec& t) { return int64_t{t.tv_sec} * 1000000000 + t.tv_nsec; };
  return core::Json{static_cast<uint64_t>(s.st_ino), static_cast<int64_t>(s.st_size), ns(s.st_mtim),
                    ns(s.st_ctim)};
}

const core::Json* Part(const core::Json& steps, std::string_view step, std::string_view part) {
  const core::Json* entry = core::Find(steps, step);
  return entry == nullptr ? nullptr : core::Find(*entry, part);
}

}  // namespace

core::Result<Journal> Journal::Load(const std::string& run_dir) {
  Journal journal(core::JoinPath(run_dir, "journal.json"));
  if (!core::FileExists(journal.path_)) return journal;
  OCTAVO_TRY(const core::Json json, core::ReadJsonFile(journal.path_));
  OCTAVO_TRY(const int64_t schema, core::GetInt(json, "schema").Context(journal.path_));
  if (schema != kSchema) {
    return core::Invalid(
        fmt::format("{}: has schema {}, this octavo writes {}; delete it to start "
                    "the run from the beginning",
                    journal.path_, schema, kSchema));
  }
  for (const auto& [key, target] :
       {std::pair("steps", &journal.steps_), std::pair("files", &journal.files_)}) {
    const core::Json* value = core::Find(json, key);
    if (value != nullptr && value->is_object()) *target = *value;
  }
  return journal;
}

const core::Json* Journal::InputsOf(std::string_view step) const {
  return Part(steps_, step, "inputs");
}
const core::Json* Journal::ResultOf(std::string_view step) const {
  return Part(steps_, step, "result");
}

core::Status Journal::Record(const std::string& step, core::Json inputs, core::Json result) {
  steps_[step] = {{"inputs", std::move(inputs)}, {"result", std::move(result)}};
  const core::Json json = {{"schema", kSchema},
                           {"octavo_version", core::kVersion},
                           {"steps", steps_},
                           {"files", files_}};
  return core::WriteFileAtomic(path_, core::DumpJson(json), 0600);
}

core::Result<std::string> Journal::FileDigest(const std::string& path) {
  OCTAVO_TRY(const core::Json identity, Identity(path));
  const core::Json* known = core::Find(files_, path);
  if (known != nullptr && core::Find(*known, "identity") != nullptr &&
      *core::Find(*known, "identity") == identity) {
    const auto digest = core::GetString(*known, "sha256");
    if (digest.ok()) return digest;
  }
  OCTAVO_TRY(std::string digest, core::Sha256File(path));
  files_[path] = {{"identity", identity}, {"sha256", digest}};
  return digest;
}

core::Result<std::string> Journal::DigestOf(const std::string& path) {
  if (!core::FolderExists(path)) return FileDigest(path);
  OCTAVO_TRY(const std::vector<std::string> names, core::ListFolder(path));
  core::Sha256 hash;
  for (const std::string& name : names) {
    const std::string file = core::JoinPath(path, name);
    if (!core::FileExists(file)) continue;
    OCTAVO_TRY(const std::string digest, FileDigest(file));
    hash.Update(core::DumpJsonLine({name, digest}));
  }
  return hash.Hex();
}

}  // namespace octavo::workflow
