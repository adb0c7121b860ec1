// Copying artifacts in, looking them up, sweeping up after crashes.
#include "registry/artifact_store.h"

#include <fmt/format.h>

#include "core/bytes.h"
#include "core/file.h"

namespace octavo::registry {
namespace {

using core::Status;

Status CopyInto(const std::string& from, const std::string& to, const std::string& name) {
  return core::CopyFileAtomic(core::JoinPath(from, name), core::JoinPath(to, name));
}

}  // namespace

std::string ArtifactStore::PathOf(const std::string& digest) const {
  return core::JoinPath(folder_, digest);
}

Status ArtifactStore::Put(const std::string& from, const format::Manifest& manifest,
                          core::Progress& progress) {
  const std::string target = PathOf(format::ContentDigest(manifest));
  if (core::FolderExists(target) && format::VerifyManifest(target, manifest).ok()) return {};

  OCTAVO_RETURN_IF_ERROR(core::MakeFolders(folder_));
  OCTAVO_TRY(core::AtomicDirectory directory, core::AtomicDirectory::Create(target));
  progress.Begin("copy artifact", static_cast<int64_t>(manifest.files.size()) + 1, "files");
  for (const auto& [name, hash] : manifest.files) {
    OCTAVO_RETURN_IF_ERROR(CopyInto(from, directory.staging(), name));
    progress.Advance(1);
  }
  OCTAVO_RETURN_IF_ERROR(CopyInto(from, directory.staging(), format::kManifestName));
  progress.Advance(1);
  progress.End();
  // The copy is verified, not the source, which may change under our hands.
  OCTAVO_RETURN_IF_ERROR(format::VerifyManifest(directory.staging(), manifest).Context(from));
  return directory.Commit();
}

Status ArtifactStore::CheckPresent(const std::string& digest) const {
  const std::string path = PathOf(digest);
  if (!core::FolderExists(path)) {
    return core::NotFound(fmt::format("artifact {} is missing from {}", digest, folder_));
  }
  OCTAVO_TRY(const format::Manifest manifest, format::ReadManifest(path));
  if (format::ContentDigest(manifest) != digest) {
    return core::Invalid(fmt::format("{}: octavo.json describes other content", path));
  }
  for (const auto& [name, hash] : manifest.files) {
    if (!core::FileExists(core::JoinPath(path, name))) {
      return core::NotFound(fmt::format("{}: file '{}' is missing", path, core::Printable(name)));
    }
  }
  return {};
}

Status ArtifactStore::Sweep() const {
  if (!core::FolderExists(folder_)) return {};
  OCTAVO_TRY(const std::vector<std::string> names, core::ListFolder(folder_));
  for (const std::string& name : names) {
    if (!name.starts_with('.')) continue;
    OCTAVO_RETURN_IF_ERROR(core::RemoveAll(core::JoinPath(folder_, name)));
  }
  return {};
}

}  // namespace octavo::registry
