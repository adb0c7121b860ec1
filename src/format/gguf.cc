#include "format/gguf.h"

#include <algorithm>

#include <fmt/format.h>

#include "format/gguf_cursor.h"

namespace octavo::format {
namespace {

constexpr uint32_t kVersion = 3;
constexpr size_t kMaxMetadataBytes = size_t{512} << 20;
constexpr uint64_t kMaxEntries = uint64_t{1} << 20;  // tensors, and keys
constexpr uint64_t kMaxAlignment = 65536;
constexpr size_t kMaxKeyBytes = 65535;
constexpr size_t kMaxTensorNameBytes = 64;
constexpr uint32_t kMaxDimensions = 4;
constexpr char kAlignmentKey[] = "general.alignment";

// Names of tensor types that octavo does not read, for the error.
struct ForeignType {
  uint32_t id;
  std::string_view name;
};
constexpr ForeignType kForeignTypes[] = {
    {9, "Q8_1"},     {10, "Q2_K"},  {11, "Q3_K"},   {15, "Q8_K"},  {16, "IQ2_XXS"}, {17, "IQ2_XS"},
    {18, "IQ3_XXS"}, {19, "IQ1_S"}, {20, "IQ4_NL"}, {21, "IQ3_S"}, {22, "IQ2_S"},   {23, "IQ4_XS"},
    {24, "I8"},      {25, "I16"},   {26, "I32"},    {27, "I64"},   {28, "F64"},     {29, "IQ1_M"},
    {34, "TQ1_0"},   {35, "TQ2_0"}, {39, "MXFP4"},  {40, "NVFP4"}};

core::Error UnknownType(uint32_t id) {
  std::string name = fmt::format("number {}", id);
  for (const ForeignType& type : kForeignTypes) {
    if (type.id == id) name = type.name;
  }
  return core::Unsupported(
      fmt::format("type {}; octavo reads F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q4_K, Q5_K "
                  "and Q6_K; take an F16, BF16 or Q8_0 file of this model",
                  name));
}

bool HasControlBytes(std::string_view text) {
  return std::any_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; });
}

struct Counts {
  uint64_t tensors;
  uint64_t keys;
};

core::Result<Counts> ReadHeader(GgufCursor& cursor) {
  const core::Error foreign = core::Invalid("does not start with 'GGUF'; this is no GGUF file");
  const auto magic = cursor.Read<uint32_t>();
  if (!magic.ok() || magic.value() != 0x46554747) return foreign;
  OCTAVO_TRY(const uint32_t version, cursor.Read<uint32_t>());
  if (version != kVersion) {
    return core::Unsupported(
        version == 0x03000000
            ? std::string("a big-endian GGUF file; octavo reads little-endian ones")
            : fmt::format("GGUF version {}, octavo reads version 3; convert the model again with a "
                          "current llama.cpp",
                          version));
  }
  OCTAVO_TRY(const uint64_t tensors, cursor.Read<uint64_t>());
  OCTAVO_TRY(const uint64_t keys, cursor.Read<uint64_t>());
  if (tensors > kMaxEntries || keys > kMaxEntries) {
    return core::Exhausted(fmt::format("{} tensors and {} keys are announced, at most {} are read",
                                       tensors, keys, kMaxEntries));
  }
  return Counts{tensors, keys};
}

// One tensor's entry; its bytes are set when the place of the data is known.
struct TensorInfo {
  GgufTensor tensor;
  uint64_t offset = 0;
  uint64_t bytes = 0;
};

core::Status ReadLayout(GgufCursor& cursor, TensorInfo& info) {
  OCTAVO_TRY(const uint32_t rank, cursor.Read<uint32_t>());
  if (rank > kMaxDimensions) {
    return core::Invalid(fmt::format("{} dimensions, at most 4 are allowed", rank));
  }
  tensor::Shape& shape = info.tensor.shape;
  for (uint32_t i = 0; i < rank; ++i) {
    OCTAVO_TRY(const int64_t dimension, ReadGgufCount(cursor));
    shape.insert(shape.begin(), dimension);
  }
  OCTAVO_TRY(const uint32_t type_id, cursor.Read<uint32_t>());
  const auto type = GgufTypeOf(type_id);
  if (!type) return UnknownType(type_id);
  info.tensor.type = *type;
  const GgufBlock& block = BlockOf(*type);
  const int64_t row = shape.empty() ? 1 : shape.back();
  if (row % block.elements != 0) {
    return core::Invalid(fmt::format("rows of {} elements are no multiple of the {} of a {} block",
                                     row, block.elements, block.name));
  }
  const auto count = tensor::ElementCount(shape);
  const auto bytes = count ? core::CheckedMul(*count / block.elements, block.bytes) : std::nullopt;
  if (!bytes) {
    return core::Invalid(
        fmt::format("shape {} has more elements than any file", tensor::ShapeToString(shape)));
  }
  info.bytes = static_cast<uint64_t>(*bytes);
  OCTAVO_TRY(info.offset, cursor.Read<uint64_t>());
  return {};
}

core::Result<TensorInfo> ReadTensorInfo(GgufCursor& cursor) {
  OCTAVO_TRY(const std::string_view name, cursor.ReadString());
  const std::string place = fmt::format("tensor '{}'", core::Printable(name));
  if (name.empty() || name.size() > kMaxTensorNameBytes || HasControlBytes(name) ||
      !core::IsUtf8(name)) {
    return core::Invalid(place + ": the name must be 1 to 64 bytes of text");
  }
  TensorInfo info;
  info.tensor.name = std::string(name);
  OCTAVO_RETURN_IF_ERROR(ReadLayout(cursor, info).Context(place));
  return info;
}

uint64_t Padded(uint64_t value, uint64_t alignment) {
  return value + (alignment - value % alignment) % alignment;
}

// Gives each tensor its bytes: one after the other, each begun at a multiple of `alignment`.
core::Status PlaceTensors(std::vector<TensorInfo>& infos, core::ByteSpan data, uint64_t alignment) {
  uint64_t end = 0;
  for (TensorInfo& info : infos) {
    const uint64_t expected = Padded(end, alignment);
    const std::string place = fmt::format("tensor '{}'", core::Printable(info.tensor.name));
    if (info.offset != expected) {
      return core::Invalid(
          fmt::format("{}: begins at byte {} of the data, expected {}; the file is "
                      "damaged, fetch it again",
                      place, info.offset, expected));
    }
    if (info.offset > data.size() || info.bytes > data.size() - info.offset) {
      return core::Invalid(
          fmt::format("{}: takes {} bytes from byte {} of the data on, which has "
                      "{}; the file is truncated, fetch it again",
                      place, info.bytes, info.offset, data.size()));
    }
    info.tensor.bytes = data.subspan(info.offset, info.bytes);
    end = info.offset + info.bytes;
  }
  if (data.size() > Padded(end, alignment)) {
    return core::Invalid(
        fmt::format("{} bytes follow the last tensor; the file is damaged, fetch "
                    "it again",
                    data.size() - end));
  }
  return {};
}

template <typename T, typename Variant>
core::Result<T> GetAs(const Variant* value, std::string_view key, std::string_view type) {
  if (value == nullptr) {
    return core::NotFound(
        fmt::format("metadata key '{}' is missing, expected {}", core::Printable(key), type));
  }
  if (const T* found = std::get_if<T>(value)) return *found;
  return core::Invalid(fmt::format("metadata key '{}' is not {}", core::Printable(key), type));
}

}  // namespace

core::Result<GgufFile> GgufFile::Parse(core::ByteSpan bytes) {
  // A cursor that ends at the limit of metadata needs no further check of it.
  GgufCursor cursor(bytes.first(std::min(bytes.size(), kMaxMetadataBytes)));
  OCTAVO_TRY(const Counts header, ReadHeader(cursor));
  GgufFile file;
  uint64_t budget = kMaxGgufListElements;
  for (uint64_t i = 0; i < header.keys; ++i) {
    OCTAVO_TRY(const std::string_view key, cursor.ReadString());
    const std::string place = fmt::format("metadata key '{}'", core::Printable(key));
    if (key.empty() || key.size() > kMaxKeyBytes || HasControlBytes(key) || !core::IsUtf8(key)) {
      return core::Invalid(place + ": must be 1 to 65535 bytes of text");
    }
    OCTAVO_TRY(GgufValue value, ReadGgufValue(cursor, budget).Context(place));
    if (!file.values_.emplace(key, std::move(value)).second) {
      return core::Invalid(place + " appears twice");
    }
  }
  uint64_t alignment = 32;
  if (file.FindValue(kAlignmentKey) != nullptr) {
    OCTAVO_TRY(const int64_t given, file.GetInt(kAlignmentKey));
    alignment = static_cast<uint64_t>(given);
    if (given < 8 || alignment > kMaxAlignment || (alignment & (alignment - 1)) != 0) {
      return core::Invalid(
          fmt::format("metadata key '{}' is {}, expected a power of two from 8 to {}",
                      kAlignmentKey, given, kMaxAlignment));
    }
  }
  std::vector<TensorInfo> infos;
  for (uint64_t i = 0; i < header.tensors; ++i) {
    OCTAVO_TRY(TensorInfo info, ReadTensorInfo(cursor));
    infos.push_back(std::move(info));
  }
  const uint64_t data_begin = std::min<uint64_t>(Padded(cursor.at(), alignment), bytes.size());
  OCTAVO_RETURN_IF_ERROR(PlaceTensors(infos, bytes.subspan(data_begin), alignment));
  file.tensors_.reserve(infos.size());
  for (TensorInfo& info : infos) file.tensors_.push_back(std::move(info.tensor));
  for (size_t i = 0; i < file.tensors_.size(); ++i) {
    if (file.index_.emplace(file.tensors_[i].name, i).second) continue;
    return core::Invalid(
        fmt::format("tensor '{}' appears twice", core::Printable(file.tensors_[i].name)));
  }
  return file;
}

core::Result<GgufFile> GgufFile::Open(const std::string& path) {
  OCTAVO_TRY(core::MappedFile map, core::MappedFile::Open(path));
  OCTAVO_TRY(GgufFile file, Parse(map.bytes()).Context(core::PrintablePath(path)));
  file.map_.push_back(std::move(map));
  return file;
}

const GgufTensor* GgufFile::FindTensor(std::string_view name) const {
  const auto found = index_.find(name);
  return found == index_.end() ? nullptr : &tensors_[found->second];
}

const GgufValue* GgufFile::FindValue(std::string_view key) const {
  const auto found = values_.find(std::string(key));
  return found == values_.end() ? nullptr : &found->second;
}

core::Result<int64_t> GgufFile::GetInt(std::string_view key) const {
  return GetAs<int64_t>(FindValue(key), key, "an integer");
}

core::Result<double> GgufFile::GetDouble(std::string_view key) const {
  return GetAs<double>(FindValue(key), key, "a float");
}

core::Result<std::string> GgufFile::GetString(std::string_view key) const {
  return GetAs<std::string>(FindValue(key), key, "a string");
}

core::Result<std::vector<std::string>> GgufFile::GetStrings(std::string_view key) const {
  constexpr std::string_view kType = "a list of strings";
  OCTAVO_TRY(const GgufArray list, GetAs<GgufArray>(FindValue(key), key, kType));
  return GetAs<std::vector<std::string>>(&list, key, kType);
}

void GgufFile::DropPages(const GgufTensor& tensor) const {
  for (const core::MappedFile& map : map_) map.DropPages(tensor.bytes);
}

}  // namespace octavo::format
