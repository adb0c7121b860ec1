// Names that come from inside a model folder lead only to files inside that folder.
#pragma once

#include <string>
#include <string_view>

#include "core/result.h"

namespace octavo::format {

// A name without '/', '\' or control bytes that is not "", "." or "..".
bool IsPlainName(std::string_view name);

// The path of the regular file `name` of `folder`. Refused: a name that is not plain, and a link
// that leads out of the folder. One exception, because model caches are built of it: in a Hugging
// Face cache (.../snapshots/REVISION), a link into .../blobs.
core::Result<std::string> ConfinedPath(const std::string& folder, std::string_view name);

}  // namespace octavo::format
