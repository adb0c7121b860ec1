#include "format/manifest.h"

#include <algorithm>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "core/bytes.h"
#include "core/hash.h"
#include "core/thread_pool.h"
#include "core/version.h"
#include "format/confined_path.h"

namespace octavo::format {
namespace {

using core::Json;

constexpr core::JsonLimits kLimits{.max_bytes = size_t{16} << 20};

// SHA-256 of each file of a model: those that lie in the folder itself and are not hidden, which
// download tools and file managers leave behind.
core::Result<FileHashes> HashFiles(const std::string& folder, const FileHashes& known) {
  OCTAVO_TRY(std::vector<std::string> names, core::ListFolder(folder));
  std::erase_if(names, [&](const std::string& name) {
    return name.front() == '.' || name == kManifestName ||
           core::FolderExists(core::JoinPath(folder, name));
  });
  FileHashes files;
  for (const std::string& name : names) {
    const std::string path = core::JoinPath(folder, name);
    if (!core::FileExists(path)) {
      return core::Invalid(core::PrintablePath(path) +
                           ": is no regular file; remove it from the model folder");
    }
    const auto found = known.find(name);
    if (found != known.end()) files.insert(*found);
  }
  std::erase_if(names, [&](const std::string& name) { return known.contains(name); });
  // A hash is computed from front to back, so that threads can only share out the files.
  std::vector<core::Result<std::string>> hashes(names.size(), std::string());
  core::ThreadPool pool;
  pool.ParallelFor(static_cast<int64_t>(names.size()), 1, [&](int64_t begin, int64_t end) {
    for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i)
      hashes[i] = core::Sha256File(core::JoinPath(folder, names[i]));
  });
  for (size_t i = 0; i < names.size(); ++i) {
    OCTAVO_TRY(files[names[i]], std::move(hashes[i]));
  }
  return files;
}

bool IsSha256(std::string_view text) {
  return text.size() == 64 && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

core::Result<Manifest> ParseManifest(const Json& json) {
  OCTAVO_TRY(const int64_t schema, core::GetInt(json, "schema"));
  if (schema != kManifestSchema) {
    return core::Unsupported(fmt::format(
        "schema {}, this octavo reads {}; use the version that wrote it", schema, kManifestSchema));
  }
  Manifest manifest;
  OCTAVO_TRY(manifest.kind, core::GetString(json, "kind"));
  if (manifest.kind != "base" && manifest.kind != "artifact") {
    return core::Invalid(fmt::format("field 'kind' is '{}', expected base or artifact",
                                     core::Printable(manifest.kind)));
  }
  const Json* details = core::Find(json, "details");
  if (details == nullptr || !details->is_object()) {
    return core::Invalid("field 'details' must be an object");
  }
  manifest.details = *details;
  const Json* files = core::Find(json, "files");
  if (files == nullptr || !files->is_object()) {
    return core::Invalid("field 'files' must be an object");
  }
  for (const auto& [name, hash] : files->get_ref<const Json::object_t&>()) {
    if (!IsPlainName(name) || !hash.is_string() || !IsSha256(hash.get_ref<const std::string&>())) {
      return core::Invalid(
          fmt::format("'files': '{}' must be a file of this folder with its SHA-256 in hex",
                      core::Printable(name)));
    }
    manifest.files.emplace(name, hash.get<std::string>());
  }
  return manifest;
}

}  // namespace

core::Result<Manifest> WriteManifest(const std::string& folder, std::string kind, Json details,
                                     const FileHashes& known) {
  Manifest manifest{std::move(kind), std::move(details), {}};
  OCTAVO_TRY(manifest.files, HashFiles(folder, known));
  const Json json = {{"schema", kManifestSchema},
                     {"octavo_version", core::kVersion},
                     {"kind", manifest.kind},
                     {"details", manifest.details},
                     {"files", manifest.files}};
  OCTAVO_RETURN_IF_ERROR(
      core::WriteFileAtomic(core::JoinPath(folder, kManifestName), core::DumpJson(json)));
  return manifest;
}

core::Result<Manifest> ReadManifest(const std::string& folder) {
  const std::string path = core::JoinPath(folder, kManifestName);
  OCTAVO_TRY(const Json json, core::ReadJsonFile(path, kLimits));
  return ParseManifest(json).Context(core::PrintablePath(path));
}

core::Status VerifyManifest(const std::string& folder, const Manifest& manifest,
                            const FileHashes& known) {
  const auto differs = [&](const std::string& name, std::string_view how) {
    return core::Invalid(
        fmt::format("{}: '{}' {} {}; the folder was changed after octavo wrote it, make it again",
                    core::PrintablePath(folder), core::Printable(name), how, kManifestName));
  };
  OCTAVO_TRY(const FileHashes files, HashFiles(folder, known));
  for (const auto& [name, hash] : manifest.files) {
    const auto found = files.find(name);
    if (found == files.end()) return differs(name, "is missing but listed in");
    if (found->second != hash) return differs(name, "has another SHA-256 than in");
  }
  for (const auto& [name, hash] : files) {
    if (manifest.files.count(name) == 0) return differs(name, "is not listed in");
  }
  return {};
}

std::string ContentDigest(const Manifest& manifest) {
  core::Sha256 sha;
  for (const auto& [name, hash] : manifest.files) {
    sha.Update(name);
    sha.Update(std::string_view("\0", 1));
    sha.Update(hash);
    sha.Update("\n");
  }
  return sha.Hex();
}

core::Result<std::string> FolderDigest(const std::string& folder, const FileHashes& known) {
  if (core::FileExists(core::JoinPath(folder, kManifestName))) {
    OCTAVO_TRY(const Manifest manifest, ReadManifest(folder));
    OCTAVO_RETURN_IF_ERROR(VerifyManifest(folder, manifest, known));
    return ContentDigest(manifest);
  }
  Manifest manifest;
  OCTAVO_TRY(manifest.files, HashFiles(folder, known));
  return ContentDigest(manifest);
}

core::Result<core::AtomicDirectory> CreateOutputFolder(const std::string& path) {
  if (core::FolderExists(path) && !core::FileExists(core::JoinPath(path, kManifestName))) {
    OCTAVO_TRY(const auto names, core::ListFolder(path));
    if (!names.empty()) {
      return core::Usage(
          fmt::format("{}: exists and was not made by octavo (it has no {}), so it is not "
                      "replaced; name another "
                      "folder",
                      core::PrintablePath(path), kManifestName));
    }
  }
  return core::AtomicDirectory::Create(path);
}

}  // namespace octavo::format
