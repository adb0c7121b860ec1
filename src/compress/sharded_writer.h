// The weights of a folder in one safetensors file, or in shards with an index once they are too
// large for one, named as Hugging Face names them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/result.h"
#include "format/manifest.h"
#include "format/safetensors.h"

namespace octavo::compress {

// Tensors that stay in one file, because they belong to one layer.
using TensorGroup = std::vector<format::TensorPlan>;

// Written front to back, group by group.
class ShardedWriter {
 public:
  // Shards hold at most `max_shard_bytes` of data, or one group that is larger.
  ShardedWriter(std::string folder, std::vector<TensorGroup> groups, uint64_t max_shard_bytes);

  // The file that takes the data of the next group: all of it must be appended before the next
  // call.
  core::Result<format::SafetensorsWriter*> NextGroup();
  // After the last group: commits the last file and writes the index if there are several.
  core::Status Finish();
  // Takes away all files so far, for another start.
  core::Status Discard();
  // SHA-256 of the finished weight files, by name.
  const format::FileHashes& hashes() const { return hashes_; }
  // Of all tensors.
  uint64_t total_bytes() const { return total_bytes_; }

 private:
  std::string ShardName(size_t shard) const;
  core::Status CommitShard();

  std::string folder_;
  std::vector<std::vector<format::TensorPlan>> shards_;
  std::vector<size_t> shard_of_group_;
  uint64_t total_bytes_ = 0;
  size_t next_group_ = 0;
  std::optional<format::SafetensorsWriter> writer_;
  format::FileHashes hashes_;
};

}  // namespace octavo::compress
