// The journal of a run folder: for each step that was finished, what it depended on and what it
// gave. It is what makes a killed run resume and an unchanged one do nothing.
#pragma once

#include <string>
#include <string_view>

#include "core/json.h"
#include "core/result.h"

namespace octavo::workflow {

// One JSON file, replaced atomically with each change. One process at a time.
class Journal {
 public:
  // An absent journal is an empty one.
  static core::Result<Journal> Load(const std::string& run_dir);

  // What a finished step depended on and what it gave; nullptr when it never finished.
  const core::Json* InputsOf(std::string_view step) const;
  const core::Json* ResultOf(std::string_view step) const;
  // Remembers a finished step; durable when it returns.
  core::Status Record(const std::string& step, core::Json inputs, core::Json result);

  // SHA-256 of a file, or over the names and hashes of a folder's files. A file whose size and
  // times are those of the last time is not read again.
  core::Result<std::string> DigestOf(const std::string& path);

 private:
  explicit Journal(std::string path) : path_(std::move(path)) {}
  core::Result<std::string> FileDigest(const std::string& path);

  std::string path_;
  core::Json steps_ = core::Json::object();
  core::Json files_ = core::Json::object();
};

}  // namespace octavo::workflow
