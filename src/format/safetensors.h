// safetensors: reading through a memory map and writing front to back. Strict where the reference
// is: no holes, no overlap, no duplicate names. Format:
// https://github.com/huggingface/safetensors#format
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/file.h"
#include "core/hash.h"
#include "core/result.h"
#include "tensor/tensor_view.h"

namespace octavo::format {

// One mapped file. Views stay valid as long as it lives. Immutable, safe from many threads.
class SafetensorsFile {
 public:
  static core::Result<SafetensorsFile> Open(const std::string& path);
  // Checks a header over bytes in memory; for tests and fuzzing. `bytes` must outlive the table it
  // returns.
  using Table =
      std::vector<std::pair<std::string, tensor::TensorView>>;  // in the order of their data
  static core::Result<Table> Parse(core::ByteSpan bytes);

  const Table& tensors() const { return table_; }
  // nullptr if there is none of that name.
  const tensor::TensorView* Find(std::string_view name) const;
  const core::MappedFile& file() const { return file_; }

 private:
  SafetensorsFile(core::MappedFile file, Table table);
  core::MappedFile file_;
  Table table_;
  std::unordered_map<std::string_view, size_t> index_;
};

struct TensorPlan {
  std::string name;
  tensor::DType dtype;
  tensor::Shape shape;
};

// Writes one file tensor by tensor: the header follows from the plan, the data from Append calls in
// the plan's order, so memory stays at one piece. The file appears at Commit only.
class SafetensorsWriter {
 public:
  static core::Result<SafetensorsWriter> Create(const std::string& path,
                                                std::vector<TensorPlan> plan, unsigned mode = 0644);
  // The next bytes of the data, in the order of the plan; several calls may make up one tensor.
  core::Status Append(core::ByteSpan bytes);
  // Fails if a byte of the plan is missing. Returns the SHA-256 of the file.
  core::Result<std::string> Commit();

 private:
  SafetensorsWriter(core::AtomicFile file, uint64_t data_bytes);
  core::AtomicFile file_;
  uint64_t remaining_bytes_;
  std::unique_ptr<core::Sha256> hash_;
};

}  // namespace octavo::format
