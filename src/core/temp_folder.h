// A folder of its own for one test, removed with all that is in it at the end. For tests only.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>

#include "core/check.h"

namespace octavo::core {

class TempFolder {
 public:
  TempFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "octavo-test-XXXXXX").string();
    OCTAVO_CHECK(::mkdtemp(pattern.data()) != nullptr);
    path_ = pattern;
  }
  ~TempFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;

  const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

}  // namespace octavo::core
