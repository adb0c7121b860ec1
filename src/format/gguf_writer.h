// Writing GGUF version 3 front to back: metadata and the table of tensors from a plan, then the
// data. Format: ggml docs/gguf.md.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "core/file.h"
#include "core/hash.h"
#include "core/result.h"
#include "format/gguf.h"

namespace octavo::format {

// The types of metadata that the files of llama.cpp's converter use.
using GgufMetaValue = std::variant<uint32_t, float, bool, std::string, std::vector<std::string>,
                                   std::vector<int32_t>, std::vector<float>>;
using GgufMetadata =
    std::vector<std::pair<std::string, GgufMetaValue>>;  // in the order of the file

struct GgufTensorPlan {
  std::string name;
  GgufType type;
  tensor::Shape shape;  // outermost first, its last dimension a multiple of the type's block
};
// Bytes of its data, without padding.
uint64_t GgufDataBytes(const GgufTensorPlan& plan);

// One file, tensor by tensor; memory stays at one piece and the file appears at Commit only.
// Tensors begin at multiples of 32 bytes, the default alignment. Not thread-safe.
class GgufWriter {
 public:
  // Errors: names that are taken or longer than the 63 bytes that llama.cpp reads, sizes that
  // overflow.
  static core::Result<GgufWriter> Create(const std::string& path, const GgufMetadata& metadata,
                                         std::vector<GgufTensorPlan> plan);
  // The next bytes of the data, in the order of the plan; several calls may make up one tensor, and
  // none crosses from one into the next.
  core::Status Append(core::ByteSpan bytes);
  // Fails if a byte of the plan is missing. Returns the SHA-256 of the file.
  core::Result<std::string> Commit();

 private:
  GgufWriter(core::AtomicFile file, std::vector<GgufTensorPlan> plan);
  core::Status Put(core::ByteSpan bytes);
  core::AtomicFile file_;
  core::Sha256 hash_;
  std::vector<GgufTensorPlan> plan_;
  size_t tensor_ = 0;     // which one is being written
  uint64_t written_ = 0;  // bytes of it
};

}  // namespace octavo::format
