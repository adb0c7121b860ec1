// Writing safetensors: the header from a plan, then the data front to back.
#include <unordered_set>

#include <fmt/format.h>

#include "core/json.h"
#include "format/safetensors.h"

namespace octavo::format {

using core::Json;

SafetensorsWriter::SafetensorsWriter(core::AtomicFile file, uint64_t data_bytes)
    : file_(std::move(file)),
      remaining_bytes_(data_bytes),
      hash_(std::make_unique<core::Sha256>()) {}

core::Result<SafetensorsWriter> SafetensorsWriter::Create(const std::string& path,
                                                          std::vector<TensorPlan> plan,
                                                          unsigned mode) {
  // transformers refuses a file that does not say which framework its tensors are laid out for.
  Json header = {{"__metadata__", {{"format", "pt"}}}};
  auto& members = header.get_ref<Json::object_t&>();
  std::unordered_set<std::string_view> names = {"__metadata__"};
  uint64_t offset = 0;
  for (const TensorPlan& tensor : plan) {
    const auto count = tensor::ElementCount(tensor.shape);
    const auto bytes = count ? core::CheckedMul(static_cast<uint64_t>(*count),
                                                uint64_t{tensor::DTypeSize(tensor.dtype)})
                             : std::nullopt;
    const auto end = bytes ? core::CheckedAdd(offset, *bytes) : std::nullopt;
    if (!end || !names.insert(tensor.name).second) {
      return core::Invalid(
          fmt::format("{}: tensor '{}' of shape {} cannot be written: the name "
                      "is taken or the size overflows",
                      core::PrintablePath(path), core::Printable(tensor.name),
                      tensor::ShapeToString(tensor.shape)));
    }
    // Appended without the linear search of operator[]: the name is new.
    members.emplace_back(tensor.name, Json{{"dtype", tensor::DTypeName(tensor.dtype)},
                                           {"shape", tensor.shape},
                                           {"data_offsets", {offset, *end}}});
    offset = *end;
  }
  std::string text = core::DumpJsonLine(header);
  text.append((8 - text.size() % 8) % 8, ' ');  // the data starts at a multiple of 8
  const uint64_t length = text.size();
  OCTAVO_TRY(core::AtomicFile file, core::AtomicFile::Create(path, mode));
  SafetensorsWriter writer(std::move(file), sizeof(length) + length + offset);
  OCTAVO_RETURN_IF_ERROR(writer.Append(core::AsBytes(std::span(&length, 1))));
  OCTAVO_RETURN_IF_ERROR(writer.Append(core::AsBytes(std::string_view(text))));
  return writer;
}

core::Status SafetensorsWriter::Append(core::ByteSpan bytes) {
  OCTAVO_CHECK(bytes.size() <= remaining_bytes_);
  remaining_bytes_ -= bytes.size();
  hash_->Update(bytes);
  return file_.Append(bytes);
}

core::Result<std::string> SafetensorsWriter::Commit() {
  if (remaining_bytes_ != 0) {
    return core::Invalid(
        fmt::format("{} bytes of the planned tensors were never written", remaining_bytes_));
  }
  OCTAVO_RETURN_IF_ERROR(file_.Commit());
  return hash_->Hex();
}

}  // namespace octavo::format
