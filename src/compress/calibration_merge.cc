// Shards of a calibration made whole again.
#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "compress/calibration.h"

namespace octavo::compress {
namespace {

using core::Invalid;
using core::Json;
using core::Result;
using core::Status;

struct Shard {
  std::string folder;
  int64_t index = 0;  // from 1
  int64_t count = 0;
  Calibration calibration;
};

Result<Shard> ReadShard(const std::string& folder) {
  Shard shard{folder, 0, 0, {}};
  OCTAVO_TRY(shard.calibration, ReadCalibration(folder, true));
  const Json* const json = core::Find(shard.calibration.summary, "shard");
  if (json == nullptr) return Invalid(folder + ": is a whole calibration, not a shard of one");
  OCTAVO_TRY(shard.index, core::GetInt(*json, "index").Context(folder));
  OCTAVO_TRY(shard.count, core::GetInt(*json, "count").Context(folder));
  return shard;
}

// A summary without what differs between shards and comes from their samples.
Json CommonPart(const Calibration& calibration) {
  Json common = calibration.summary;
  for (const char* key : {"shard", "samples", "tokens", "length", "inputs", "files"})
    common.erase(key);
  return common;
}

Status CheckTogether(const std::vector<Shard>& shards) {
  const auto count = static_cast<int64_t>(shards.size());
  const Json common = CommonPart(shards[0].calibration);
  for (int64_t i = 0; i < count; ++i) {
    const Shard& shard = shards[static_cast<size_t>(i)];
    if (CommonPart(shard.calibration) != common) {
      return Invalid(fmt::format("{} and {} were not made by the same command from the same files",
                                 shards[0].folder, shard.folder));
    }
    if (shard.index != i + 1 || shard.count != count) {
      return Invalid(fmt::format("{} is shard {} of {}, expected {} of {}: give each shard once",
                                 shard.folder, shard.index, shard.count, i + 1, count));
    }
  }
  return {};
}

Status MergeRanges(const std::vector<Shard>& shards, std::vector<InputRanges>& out) {
  out = shards[0].calibration.ranges;
  for (size_t i = 1; i < shards.size(); ++i) {
    const std::vector<InputRanges>& ranges = shards[i].calibration.ranges;
    bool same = ranges.size() == out.size();
    for (size_t j = 0; same && j < out.size(); ++j) {
      same = ranges[j].modules == out[j].modules &&
             ranges[j].channel_absmax.size() == out[j].channel_absmax.size();
    }
    if (!same) {
      return Invalid(
          fmt::format("{} and {} observed different layers", shards[0].folder, shards[i].folder));
    }
    for (size_t j = 0; j < out.size(); ++j) out[j].Merge(ranges[j]);
  }
  return {};
}

}  // namespace

Result<Calibration> MergeCalibrations(const std::vector<std::string>& folders) {
  std::vector<Shard> shards;
  for (const std::string& folder : folders) {
    OCTAVO_TRY(Shard shard, ReadShard(folder));
    shards.push_back(std::move(shard));
  }
  if (shards.empty()) return core::Usage("no shards to merge");
  std::sort(shards.begin(), shards.end(),
            [](const Shard& a, const Shard& b) { return a.index < b.index; });
  OCTAVO_RETURN_IF_ERROR(CheckTogether(shards));

  Calibration out;
  out.summary = CommonPart(shards[0].calibration);
  OCTAVO_RETURN_IF_ERROR(MergeRanges(shards, out.ranges));
  std::vector<std::pair<int64_t, std::vector<int32_t>>> samples;
  for (Shard& shard : shards) {
    Calibration& part = shard.calibration;
    for (size_t i = 0; i < part.samples.size(); ++i)
      samples.emplace_back(part.places[i], std::move(part.samples[i]));
  }
  std::sort(samples.begin(), samples.end(),
            [](const auto& a, const auto& b) { return a.first < b.first; });
  for (auto& [place, ids] : samples) {
    if (place != static_cast<int64_t>(out.places.size())) {
      return Invalid(fmt::format("sample {} is in no shard, or in two", out.places.size()));
    }
    out.places.push_back(place);
    out.samples.push_back(std::move(ids));
  }
  return out;
}

}  // namespace octavo::compress
