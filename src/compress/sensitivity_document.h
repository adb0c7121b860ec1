// The document of `octavo sensitivity`, and the same in the making: groups that were measured are
// kept in a file, so that a measurement that was killed goes on.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "compress/sensitivity.h"
#include "core/json.h"
#include "core/result.h"

namespace octavo::compress {

core::Json SensitivityJson(std::span<const GroupSensitivity> groups);
// Groups that such a document lists, checked against a model of so many layers: the same numbers.
core::Result<std::vector<GroupSensitivity>> ReadSensitivity(const core::Json& document,
                                                            int64_t layers);

// Not thread-safe; of two processes with one path the later writes over what the earlier kept.
class SensitivityJournal {
 public:
  // A hidden file beside what the groups are measured for.
  static std::string PathFor(const std::string& target);

  // Keeps nothing.
  SensitivityJournal() = default;
  // Holds what an earlier process kept for `target`; nothing if that was measured on another model,
  // calibration, with other options or on another ISA, or cannot be read. Hashes the model; an
  // error if it or the file cannot be read or written.
  static core::Result<SensitivityJournal> Open(const std::string& target,
                                               const format::ModelFolder& source, int64_t layers,
                                               const std::string& calibration_digest,
                                               const SensitivityOptions& options);

  // In the order in which they were added.
  const std::vector<GroupSensitivity>& groups() const { return groups_; }
  // On disk when it returns.
  core::Status Add(GroupSensitivity group);

 private:
  core::Status Write() const;
  std::string path_;
  core::Json job_;
  std::vector<GroupSensitivity> groups_;
};

}  // namespace octavo::compress
