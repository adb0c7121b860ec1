#include "compress/sensitivity_document.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include <fmt/format.h>

#include "core/bytes.h"
#include "core/file.h"
#include "core/staging.h"
#include "core/version.h"
#include "format/manifest.h"
#include "kernels/dispatch.h"

namespace octavo::compress {
namespace {

core::Json GroupsJson(std::span<const GroupSensitivity> groups) {
  core::Json list = core::Json::array();
  for (const GroupSensitivity& group : groups) {
    core::Json schemes = core::Json::array();
    for (const GroupSensitivity::Loss& loss : group.losses) {
      schemes.push_back({{"scheme", tensor::SchemeName(loss.scheme)},
                         {"bits_per_weight", loss.bits / static_cast<double>(group.weights)},
                         {"output_error", loss.output_error},
                         {"kld", loss.kld}});
    }
    list.push_back({{"layer", group.layer},
                    {"group", std::string(FusedGroupName(group.group))},
                    {"weights", group.weights},
                    {"schemes", std::move(schemes)}});
  }
  return list;
}

core::Result<std::vector<GroupSensitivity>> ReadGroups(const core::Json& document, int64_t layers) {
  const core::Json* list = core::Find(document, "groups");
  if (list == nullptr || !list->is_array())
    return core::Invalid("has no list 'groups'; make it with `octavo sensitivity`");
  std::vector<GroupSensitivity> out;
  for (const core::Json& json : *list) {
    GroupSensitivity group;
    OCTAVO_TRY(group.layer, core::GetInt(json, "layer"));
    OCTAVO_TRY(const std::string name, core::GetString(json, "group"));
    OCTAVO_TRY(group.weights, core::GetInt(json, "weights"));
    const auto* known = std::find_if(kFusedGroups.begin(), kFusedGroups.end(),
                                     [&](FusedGroup g) { return FusedGroupName(g) == name; });
    if (known == kFusedGroups.end() || group.layer < 0 || group.layer >= layers ||
        group.weights <= 0) {
      return core::Invalid(
          fmt::format("lists group '{}' of block {}, which this model of {} blocks "
                      "has not",
                      core::Printable(name), group.layer, layers));
    }
    group.group = *known;
    const core::Json* schemes = core::Find(json, "schemes");
    if (schemes == nullptr || !schemes->is_array())
      return core::Invalid("a group has no 'schemes'");
    for (const core::Json& entry : *schemes) {
      GroupSensitivity::Loss loss;
      OCTAVO_TRY(const std::string scheme, core::GetString(entry, "scheme"));
      OCTAVO_TRY(loss.scheme, tensor::ParseScheme(scheme));
      OCTAVO_TRY(const double bits, core::GetDouble(entry, "bits_per_weight"));
      OCTAVO_TRY(loss.output_error, core::GetDouble(entry, "output_error"));
      OCTAVO_TRY(loss.kld, core::GetDouble(entry, "kld"));
      // Whole bits: as exact as they were.
      loss.bits = std::round(bits * static_cast<double>(group.weights));
      group.losses.push_back(loss);
    }
    out.push_back(std::move(group));
  }
  return out;
}

// Block by block, as they are measured.
bool InOrder(std::span<const GroupSensitivity> groups) {
  for (size_t i = 0; i < groups.size(); ++i) {
    if (groups[i].layer != static_cast<int64_t>(i / kFusedGroups.size()) ||
        groups[i].group != kFusedGroups[i % kFusedGroups.size()])
      return false;
  }
  return true;
}

// None where the file is of another job, or damaged.
std::vector<GroupSensitivity> KeptFor(const core::Json& job, const std::string& path,
                                      int64_t layers) {
  if (!core::FileExists(path)) return {};
  const auto document = core::ReadJsonFile(path);
  if (!document.ok()) return {};
  const core::Json* of = core::Find(document.value(), "job");
  if (of == nullptr || *of != job) return {};
  auto groups = ReadGroups(document.value(), layers);
  if (!groups.ok() || !InOrder(groups.value())) return {};
  return std::move(groups).value();
}

}  // namespace

core::Json SensitivityJson(std::span<const GroupSensitivity> groups) {
  return {{"schema", 1},
          {"octavo_version", core::kVersion},
          {"complete", true},
          {"groups", GroupsJson(groups)}};
}

core::Result<std::vector<GroupSensitivity>> ReadSensitivity(const core::Json& document,
                                                            int64_t layers) {
  OCTAVO_TRY(auto out, ReadGroups(document, layers));
  if (static_cast<int64_t>(out.size()) != layers * static_cast<int64_t>(kFusedGroups.size())) {
    return core::Invalid(fmt::format("lists {} groups; a model of {} blocks has {}", out.size(),
                                     layers, layers * static_cast<int64_t>(kFusedGroups.size())));
  }
  return out;
}

std::string SensitivityJournal::PathFor(const std::string& target) {
  return core::KeptBeside(target, "measured");
}

core::Result<SensitivityJournal> SensitivityJournal::Open(const std::string& target,
                                                          const format::ModelFolder& source,
                                                          int64_t layers,
                                                          const std::string& calibration_digest,
                                                          const SensitivityOptions& options) {
  SensitivityJournal out;
  out.path_ = PathFor(target);
  OCTAVO_TRY(const std::string base_digest, format::FolderDigest(source.path()));
  core::Json schemes = core::Json::array();
  for (const tensor::Scheme& scheme : options.schemes)
    schemes.push_back(tensor::SchemeName(scheme));
  out.job_ = {{"octavo_version", core::kVersion}, {"isa", std::string(kernels::ActiveTable().isa)},
              {"base_digest", base_digest},       {"calibration_digest", calibration_digest},
              {"samples", options.samples},       {"tokens", options.tokens},
              {"schemes", std::move(schemes)}};
  out.groups_ = KeptFor(out.job_, out.path_, layers);
  OCTAVO_RETURN_IF_ERROR(out.Write());
  return out;
}

core::Status SensitivityJournal::Write() const {
  return core::WriteFileAtomic(
      path_, core::DumpJson({{"job", job_}, {"groups", GroupsJson(groups_)}}), 0600);
}

core::Status SensitivityJournal::Add(GroupSensitivity group) {
  groups_.push_back(std::move(group));
  return path_.empty() ? core::Status() : Write();
}

}  // namespace octavo::compress
