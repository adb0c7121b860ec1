// The weights of a folder on their way into memory: each tensor from front to back, a piece at a
// time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "core/direct_reader.h"
#include "core/result.h"
#include "format/model_folder.h"

namespace octavo::format {

// Through the map of the files, or past the page cache. For one thread; the folder must outlive it.
class WeightReader {
 public:
  // kMapped: read ahead in the background, and pages that were used are given back.
  enum class Way : uint8_t { kMapped, kDirect };
  explicit WeightReader(const ModelFolder& folder, Way way = Way::kMapped);
  ~WeightReader();
  WeightReader(const WeightReader&) = delete;
  WeightReader& operator=(const WeightReader&) = delete;

  // For weights that are kept in memory in another form: past the page cache if it holds less than
  // half of them and has no room for them beside that form. Otherwise it is worth filling, for the
  // next start.
  static Way WayToKeep(const ModelFolder& folder);
  const ModelFolder& folder() const { return folder_; }

  // Begins with the bytes of a tensor of the folder.
  core::Status Begin(const tensor::TensorView& view, size_t unit_bytes);
  // The next ones: whole units of that size, or all that are left. Valid until the next call; empty
  // behind the last.
  core::Result<core::ByteSpan> Next();
  // The tensor is not needed any more for now.
  void End();

 private:
  const ModelFolder& folder_;
  std::unique_ptr<core::DirectReader> direct_;
  const core::MappedFile* file_ = nullptr;  // of the tensor that was begun
  core::ByteSpan tensor_;
  core::ByteSpan mapped_;   // its rest, if it comes through the map
  bool is_direct_ = false;  // whether it comes past the cache
};

}  // namespace octavo::format
