// Where atomic files and folders are written before they get their name: hidden siblings of the
// target, each locked by the process that writes it, so that what a killed process left behind can
// be told from work in progress.
#pragma once

#include <string>
#include <string_view>

#include "core/posix.h"
#include "core/result.h"

namespace octavo::core {

struct Staged {
  std::string path;
  Fd lock;  // the open, locked file or folder; the lock ends with it
};

// A new empty file (opened for writing) or folder beside `target`. Removes abandoned ones of the
// same target first.
Result<Staged> StageFile(const std::string& target, unsigned mode);
Result<Staged> StageFolder(const std::string& target);

// A hidden sibling of `target` for what the next process goes on with: not a name that is ever
// taken for an abandoned one.
std::string KeptBeside(const std::string& target, std::string_view what);

}  // namespace octavo::core
