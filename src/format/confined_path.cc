#include "format/confined_path.h"

#include <algorithm>
#include <filesystem>
#include <system_error>

#include <fmt/format.h>

#include "core/bytes.h"
#include "core/file.h"

namespace octavo::format {

namespace fs = std::filesystem;

bool IsPlainName(std::string_view name) {
  if (name.empty() || name == "." || name == "..") return false;
  return std::none_of(name.begin(), name.end(), [](char c) {
    return c == '/' || c == '\\' || static_cast<unsigned char>(c) < 0x20 || c == 0x7F;
  });
}

core::Result<std::string> ConfinedPath(const std::string& folder, std::string_view name) {
  const std::string shown = core::PrintablePath(folder);
  if (!IsPlainName(name)) {
    return core::Invalid(fmt::format("{}: '{}' is not the name of a file in this folder", shown,
                                     core::Printable(name)));
  }
  const std::string path = core::JoinPath(folder, name);
  std::error_code code;
  const fs::path target = fs::canonical(path, code);
  if (code || !fs::is_regular_file(target, code)) {
    return core::NotFound(fmt::format("{}: there is no file '{}' in this folder; fetch it again",
                                      shown, core::Printable(name)));
  }
  const fs::path root = fs::canonical(folder, code);
  const fs::path home = target.parent_path();
  const bool in_cache = root.parent_path().filename() == "snapshots" &&
                        home == root.parent_path().parent_path() / "blobs";
  if (home != root && !in_cache) {
    return core::Invalid(fmt::format(
        "{}: '{}' is a link that leads out of this folder; replace it by the file itself", shown,
        core::Printable(name)));
  }
  return path;
}

}  // namespace octavo::format
