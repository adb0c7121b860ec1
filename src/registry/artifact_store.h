// Content-addressed artifacts: each in a folder named by its digest, copied whole and verified, or
// not there at all.
#pragma once

#include <string>

#include "core/progress.h"
#include "core/result.h"
#include "format/manifest.h"

namespace octavo::registry {

// Not thread-safe; changes need the store's lock.
class ArtifactStore {
 public:
  explicit ArtifactStore(std::string folder) : folder_(std::move(folder)) {}

  std::string PathOf(const std::string& digest) const;
  // Copies the folder `from`, whose octavo.json is `manifest`, and verifies every hash of the copy
  // before it gets its name. An artifact that is there already is verified instead, and replaced
  // when it is damaged. Durable when it returns.
  core::Status Put(const std::string& from, const format::Manifest& manifest,
                   core::Progress& progress);
  // That the artifact is there, says of itself that it is this digest, and has all its files. Does
  // not read the weights.
  core::Status CheckPresent(const std::string& digest) const;
  // Removes the unfinished copies that killed processes left. Whole artifacts stay even if no
  // channel ever knew them: they may be all that is left of a lost database, and promoting one
  // again finds it here.
  core::Status Sweep() const;

 private:
  std::string folder_;
};

}  // namespace octavo::registry
