#include "compress/sharded_writer.h"

#include <fmt/format.h>

#include "core/file.h"
#include "core/json.h"

namespace octavo::compress {
namespace {

uint64_t Bytes(const TensorGroup& group) {
  uint64_t bytes = 0;
  for (const format::TensorPlan& tensor : group) {
    bytes += static_cast<uint64_t>(*tensor::ElementCount(tensor.shape)) * DTypeSize(tensor.dtype);
  }
  return bytes;
}

}  // namespace

ShardedWriter::ShardedWriter(std::string folder, std::vector<TensorGroup> groups,
                             uint64_t max_shard_bytes)
    : folder_(std::move(folder)) {
  uint64_t shard_bytes = 0;
  for (const TensorGroup& group : groups) {
    const uint64_t bytes = Bytes(group);
    if (shards_.empty() || (shard_bytes > 0 && shard_bytes + bytes > max_shard_bytes)) {
      shards_.emplace_back();
      shard_bytes = 0;
    }
    shards_.back().insert(shards_.back().end(), group.begin(), group.end());
    shard_of_group_.push_back(shards_.size() - 1);
    shard_bytes += bytes;
    total_bytes_ += bytes;
  }
}

std::string ShardedWriter::ShardName(size_t shard) const {
  if (shards_.size() == 1) return "model.safetensors";
  return fmt::format("model-{:05}-of-{:05}.safetensors", shard + 1, shards_.size());
}

core::Status ShardedWriter::CommitShard() {
  if (!writer_) return {};
  OCTAVO_TRY(hashes_[ShardName(shard_of_group_[next_group_ - 1])], writer_->Commit());
  writer_.reset();
  return {};
}

core::Status ShardedWriter::Discard() {
  writer_.reset();
  for (const auto& [name, hash] : hashes_)
    OCTAVO_RETURN_IF_ERROR(core::RemoveAll(core::JoinPath(folder_, name)));
  hashes_.clear();
  return {};
}

core::Result<format::SafetensorsWriter*> ShardedWriter::NextGroup() {
  OCTAVO_CHECK(next_group_ < shard_of_group_.size());
  const size_t shard = shard_of_group_[next_group_];
  if (next_group_ == 0 || shard != shard_of_group_[next_group_ - 1]) {
    OCTAVO_RETURN_IF_ERROR(CommitShard());
    OCTAVO_TRY(writer_, format::SafetensorsWriter::Create(core::JoinPath(folder_, ShardName(shard)),
                                                          shards_[shard]));
  }
  ++next_group_;
  return &*writer_;
}

core::Status ShardedWriter::Finish() {
  OCTAVO_CHECK(next_group_ == shard_of_group_.size());
  OCTAVO_RETURN_IF_ERROR(CommitShard());
  if (shards_.size() <= 1) return {};
  core::Json weight_map = core::Json::object();
  for (size_t shard = 0; shard < shards_.size(); ++shard) {
    for (const format::TensorPlan& tensor : shards_[shard]) {
      weight_map[tensor.name] = ShardName(shard);
    }
  }
  const core::Json index = {{"metadata", {{"total_size", total_bytes_}}},
                            {"weight_map", std::move(weight_map)}};
  return core::WriteFileAtomic(core::JoinPath(folder_, "model.safetensors.index.json"),
                               core::DumpJson(index));
}

}  // namespace octavo::compress
