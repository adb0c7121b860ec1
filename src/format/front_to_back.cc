#include "format/front_to_back.h"

#include <algorithm>

#include "core/check.h"
#include "core/file.h"

namespace octavo::format {
namespace {

// Enough that the disk always has work, little enough to be still in memory when it is used.
constexpr size_t kAheadBytes = size_t{128} << 20;
constexpr size_t kPieceBytes = size_t{4} << 20;
// Pieces that have passed and wait to be hashed.
constexpr size_t kMostWaiting = 16;

size_t OffsetIn(const core::MappedFile& map, const tensor::TensorView& view) {
  return static_cast<size_t>(view.bytes.data() - map.bytes().data());
}

}  // namespace

FrontToBack::FrontToBack(const ModelFolder& folder) : hashing_(kMostWaiting) {
  for (const SafetensorsFile& shard : folder.shards()) files_.push_back({&shard.file(), 0, 0, {}});
}

FrontToBack::File& FrontToBack::FileOf(const tensor::TensorView& view) {
  const auto found = std::find_if(files_.begin(), files_.end(), [&](const File& file) {
    const core::ByteSpan all = file.map->bytes();
    return view.bytes.data() >= all.data() && view.bytes.data() < all.data() + all.size();
  });
  OCTAVO_CHECK(found != files_.end());
  return *found;
}

void FrontToBack::Approach(const tensor::TensorView& view) {
  if (view.bytes.empty()) return;
  File& file = FileOf(view);
  const size_t begin = OffsetIn(*file.map, view);
  const size_t end = std::min(file.map->bytes().size(), begin + view.bytes.size() + kAheadBytes);
  // Further back than what was just fetched: another start.
  if (begin + 2 * kAheadBytes < file.fetched) file.fetched = begin;
  file.fetched = std::max(file.fetched, begin);
  if (end <= file.fetched) return;
  file.map->ReadAhead(file.map->bytes().subspan(file.fetched, end - file.fetched));
  file.fetched = end;
}

void FrontToBack::Pass(const tensor::TensorView& view) {
  if (view.bytes.empty()) return;
  File& file = FileOf(view);
  const size_t end = OffsetIn(*file.map, view) + view.bytes.size();
  if (end <= file.passed) return file.map->DropPages(view.bytes);
  PassTo(file, end);
}

void FrontToBack::PassTo(File& file, size_t end) {
  while (file.passed < end) {
    const core::ByteSpan piece =
        file.map->bytes().subspan(file.passed, std::min(kPieceBytes, end - file.passed));
    const core::Status status = hashing_.Add([&file, piece]() -> core::Status {
      file.hash.Update(piece);
      file.map->DropPages(piece);
      return {};
    });
    OCTAVO_CHECK(status.ok());  // hashing cannot fail
    file.passed += piece.size();
  }
}

FileHashes FrontToBack::Finish() {
  for (File& file : files_) PassTo(file, file.map->bytes().size());
  OCTAVO_CHECK(hashing_.Finish().ok());
  FileHashes out;
  for (File& file : files_) out[core::BaseName(file.map->path())] = file.hash.Hex();
  return out;
}

}  // namespace octavo::format
