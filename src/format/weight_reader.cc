#include "format/weight_reader.h"

#include <algorithm>
#include <utility>

#include "core/host.h"

namespace octavo::format {
namespace {

// About a layer of a large model: enough that the disk always has work.
constexpr size_t kBehind = size_t{256} << 20;
// What a disk reads at its full speed, and soon enough that nobody waits long for the first one.
constexpr size_t kPiece = size_t{2} << 20;
// Less comes in one request either way.
constexpr size_t kDirectFrom = size_t{1} << 20;
// A unit larger than that would hold too much memory.
constexpr size_t kMostUnit = size_t{32} << 20;

uint64_t CachedBytes(const ModelFolder& folder) {
  uint64_t bytes = 0;
  for (const SafetensorsFile& shard : folder.shards()) bytes += shard.file().CachedBytes();
  return bytes;
}

}  // namespace

WeightReader::WeightReader(const ModelFolder& folder, Way way) : folder_(folder) {
  if (way == Way::kMapped) return;
  direct_ = std::make_unique<core::DirectReader>();
  // A scale or a norm must not bring the megabytes around it.
  for (const SafetensorsFile& shard : folder_.shards()) shard.file().ReadAround(false);
}

WeightReader::~WeightReader() {
  if (direct_ == nullptr) return;
  for (const SafetensorsFile& shard : folder_.shards()) shard.file().ReadAround(true);
}

WeightReader::Way WeightReader::WayToKeep(const ModelFolder& folder) {
  const auto available = core::AvailableMemoryBytes();
  const auto bytes = static_cast<uint64_t>(folder.weights_bytes());
  if (!available || *available / 2 >= bytes) return Way::kMapped;
  return CachedBytes(folder) < bytes / 2 ? Way::kDirect : Way::kMapped;
}

core::Status WeightReader::Begin(const tensor::TensorView& view, size_t unit_bytes) {
  file_ = &folder_.FileOf(view);
  tensor_ = view.bytes;
  is_direct_ = direct_ != nullptr && tensor_.size() >= kDirectFrom && unit_bytes <= kMostUnit;
  if (is_direct_) {
    const size_t units = std::max<size_t>(kPiece / unit_bytes, 1);
    return direct_->Begin(*file_, tensor_, units * unit_bytes);
  }
  mapped_ = tensor_;
  const core::ByteSpan all = file_->bytes();
  const auto first = static_cast<size_t>(tensor_.data() - all.data());
  const size_t wanted = tensor_.size() + (direct_ != nullptr ? 0 : kBehind);
  file_->ReadAhead(all.subspan(first, std::min(all.size() - first, wanted)));
  return {};
}

core::Result<core::ByteSpan> WeightReader::Next() {
  if (is_direct_) return direct_->Next();
  return std::exchange(mapped_, {});
}

void WeightReader::End() {
  if (!is_direct_) file_->DropPages(tensor_);
}

}  // namespace octavo::format
