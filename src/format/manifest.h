// octavo.json: what octavo knows about a folder and other loaders need not: where it came from, how
// it was made, and the SHA-256 of every file. Its digest names the folder.
#pragma once

#include <map>
#include <string>

#include "core/file.h"
#include "core/json.h"
#include "core/result.h"

namespace octavo::format {

inline constexpr int kManifestSchema = 1;
inline constexpr char kManifestName[] = "octavo.json";

// Name -> SHA-256 of files of one folder.
using FileHashes = std::map<std::string, std::string>;

struct Manifest {
  std::string kind;    // "base" (pulled) or "artifact" (quantized)
  core::Json details;  // source and revision, or base digest, scheme, method, seed; no timestamps
  FileHashes files;    // octavo.json itself left out
};

// Hashes every file of `folder` (octavo.json, hidden files and subfolders left out: they are no
// part of a model) and writes octavo.json beside them, atomically. Same folder, same bytes. Files
// in `known` are not read: whoever read or wrote all of their bytes has hashed them.
core::Result<Manifest> WriteManifest(const std::string& folder, std::string kind,
                                     core::Json details, const FileHashes& known = {});
core::Result<Manifest> ReadManifest(const std::string& folder);
// Checks that the folder holds exactly these files with these hashes; the error names the first
// that differs.
core::Status VerifyManifest(const std::string& folder, const Manifest& manifest,
                            const FileHashes& known = {});
// SHA-256 over the sorted (name, hash) pairs: the name of a folder's content.
std::string ContentDigest(const Manifest& manifest);
// The same of the files as they are now; one that differs from octavo.json, where there is one, is
// an Error. Folders without octavo.json have a digest too.
core::Result<std::string> FolderDigest(const std::string& folder, const FileHashes& known = {});

// A new folder for a model, published whole by its Commit. An existing one is replaced only if it
// is empty or holds an octavo.json: a mistyped name must not cost the user another folder.
core::Result<core::AtomicDirectory> CreateOutputFolder(const std::string& path);

}  // namespace octavo::format
