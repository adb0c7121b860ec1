#include "format/safetensors.h"

#include <algorithm>

#include <fmt/format.h>

#include "core/json.h"

namespace octavo::format {
namespace {

using core::Json;
using tensor::TensorView;

constexpr uint64_t kMaxHeaderBytes = 100'000'000;  // as the reference implementation
// JSON takes up to 50 times its text in memory; this many values need no more than about 1 GB.
constexpr int64_t kMaxHeaderValues = int64_t{1} << 23;
constexpr size_t kPrefixBytes = 8;
constexpr char kMetadataKey[] = "__metadata__";

core::Result<std::string_view> HeaderText(core::ByteSpan bytes) {
  if (bytes.size() < kPrefixBytes) {
    return core::Invalid(
        fmt::format("only {} bytes, a safetensors file has at least 8; it is truncated, fetch it "
                    "again",
                    bytes.size()));
  }
  const auto length = core::LoadLittle<uint64_t>(bytes, 0);
  if (length > kMaxHeaderBytes) {
    return core::Invalid(
        fmt::format("header length {} is more than the {} that safetensors allows; this is not a "
                    "safetensors file",
                    length, kMaxHeaderBytes));
  }
  if (length > bytes.size() - kPrefixBytes) {
    return core::Invalid(
        fmt::format("header length {} is more than the {} bytes that follow; the file is "
                    "truncated, fetch it again",
                    length, bytes.size() - kPrefixBytes));
  }
  const std::string_view text = core::AsText(bytes.subspan(kPrefixBytes, length));
  const size_t last = text.find_last_not_of(' ');
  if (text.empty() || text.front() != '{' || last == std::string_view::npos || text[last] != '}') {
    return core::Invalid("the header is no JSON object; this is not a safetensors file");
  }
  const auto values = std::count_if(text.begin(), text.end(),
                                    [](char c) { return c == ',' || c == '[' || c == '{'; });
  if (values > kMaxHeaderValues) {
    return core::Exhausted(
        fmt::format("the header holds {} values, at most {} are read; split the file into shards",
                    values, kMaxHeaderValues));
  }
  return text;
}

// A list of non-negative integers that fit int64.
core::Result<std::vector<int64_t>> GetCounts(const Json& object, std::string_view key) {
  const Json* list = core::Find(object, key);
  if (list == nullptr || !list->is_array()) {
    return core::Invalid(fmt::format("field '{}' must be a list of integers", key));
  }
  std::vector<int64_t> out;
  out.reserve(list->size());
  for (const Json& item : *list) {
    if (!item.is_number_integer() || item < 0 || item > INT64_MAX) {
      return core::Invalid(fmt::format("field '{}' holds {}, expected integers from 0 to 2^63-1",
                                       key, core::Printable(core::DumpJsonLine(item))));
    }
    out.push_back(item.get<int64_t>());
  }
  return out;
}

struct Entry {
  std::string name;
  uint64_t begin;  // relative to the data
  uint64_t end;
  tensor::DType dtype;
  tensor::Shape shape;
};

core::Result<Entry> ParseEntry(const std::string& name, const Json& json) {
  OCTAVO_RETURN_IF_ERROR(core::RefuseUnknownKeys(json, {"dtype", "shape", "data_offsets"}));
  OCTAVO_TRY(const std::string dtype_name, core::GetString(json, "dtype"));
  const auto dtype = tensor::ParseDType(dtype_name);
  if (!dtype) {
    return core::Unsupported(
        fmt::format("type '{}'; octavo reads F32, F16, BF16, I8, I32, I64 and U8",
                    core::Printable(dtype_name)));
  }
  OCTAVO_TRY(tensor::Shape shape, GetCounts(json, "shape"));
  OCTAVO_TRY(const auto offsets, GetCounts(json, "data_offsets"));
  if (offsets.size() != 2 || offsets[0] > offsets[1]) {
    return core::Invalid("field 'data_offsets' must be [begin, end] with begin <= end");
  }
  const auto count = tensor::ElementCount(shape);
  const auto bytes =
      count ? core::CheckedMul(static_cast<uint64_t>(*count), uint64_t{tensor::DTypeSize(*dtype)})
            : std::nullopt;
  const Entry entry{name, static_cast<uint64_t>(offsets[0]), static_cast<uint64_t>(offsets[1]),
                    *dtype, std::move(shape)};
  if (!bytes || *bytes != entry.end - entry.begin) {
    return core::Invalid(
        fmt::format("{} of shape {} takes {} bytes, but 'data_offsets' spans {}", dtype_name,
                    core::Printable(tensor::ShapeToString(entry.shape)),
                    bytes ? std::to_string(*bytes) : "more than 2^64", entry.end - entry.begin));
  }
  return entry;
}

core::Status CheckMetadata(const Json& json) {
  if (!json.is_object()) return core::Invalid("'__metadata__' must be an object");
  for (const auto& item : json.items()) {
    if (item.value().is_string()) continue;
    return core::Invalid(
        fmt::format("'__metadata__': field '{}' must be a string", core::Printable(item.key())));
  }
  return {};
}

// Tensors must fill the data from its first byte to its last: a hole could hide bytes, and an
// overlap would make two tensors of one.
core::Status CheckLayout(const std::vector<Entry>& entries, uint64_t data_bytes) {
  uint64_t expected = 0;
  for (const Entry& entry : entries) {
    if (entry.begin != expected) {
      return core::Invalid(fmt::format(
          "tensor '{}' begins at byte {} of the data, expected {} where the one before it ends; "
          "the file is damaged, fetch it again",
          core::Printable(entry.name), entry.begin, expected));
    }
    if (entry.end > data_bytes) {
      return core::Invalid(fmt::format(
          "tensor '{}' ends at byte {} of the data, but only {} are there; the file is truncated, "
          "fetch it again",
          core::Printable(entry.name), entry.end, data_bytes));
    }
    expected = entry.end;
  }
  if (expected != data_bytes) {
    return core::Invalid(
        fmt::format("{} bytes follow the last tensor; the file is damaged, fetch it again",
                    data_bytes - expected));
  }
  return {};
}

// Names with control bytes are cut short by C programs and so hide tensors from them.
bool IsCleanName(std::string_view name) {
  return !name.empty() && std::none_of(name.begin(), name.end(), [](char c) {
    return static_cast<unsigned char>(c) < 0x20 || c == 0x7F;
  });
}

}  // namespace

core::Result<SafetensorsFile::Table> SafetensorsFile::Parse(core::ByteSpan bytes) {
  OCTAVO_TRY(const std::string_view text, HeaderText(bytes));
  OCTAVO_TRY(const Json header, core::ParseJson(text).Context("header"));
  std::vector<Entry> entries;
  entries.reserve(header.size());
  for (const auto& [name, json] : header.get_ref<const Json::object_t&>()) {
    if (name == kMetadataKey) {
      OCTAVO_RETURN_IF_ERROR(CheckMetadata(json));
      continue;
    }
    const std::string place = fmt::format("tensor '{}'", core::Printable(name));
    if (!IsCleanName(name)) {
      return core::Invalid(place + ": the name is empty or has control bytes");
    }
    OCTAVO_TRY(Entry entry, ParseEntry(name, json).Context(place));
    entries.push_back(std::move(entry));
  }
  std::stable_sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  const core::ByteSpan data = bytes.subspan(kPrefixBytes + text.size());
  OCTAVO_RETURN_IF_ERROR(CheckLayout(entries, data.size()));
  Table table;
  table.reserve(entries.size());
  for (Entry& entry : entries) {
    const core::ByteSpan range = data.subspan(entry.begin, entry.end - entry.begin);
    table.emplace_back(std::move(entry.name),
                       TensorView{entry.dtype, std::move(entry.shape), range});
  }
  return table;
}

core::Result<SafetensorsFile> SafetensorsFile::Open(const std::string& path) {
  OCTAVO_TRY(core::MappedFile file, core::MappedFile::Open(path));
  OCTAVO_TRY(Table table, Parse(file.bytes()).Context(core::PrintablePath(path)));
  return SafetensorsFile(std::move(file), std::move(table));
}

SafetensorsFile::SafetensorsFile(core::MappedFile file, Table table)
    : file_(std::move(file)), table_(std::move(table)) {
  index_.reserve(table_.size());
  for (size_t i = 0; i < table_.size(); ++i) index_.emplace(table_[i].first, i);
}

const TensorView* SafetensorsFile::Find(std::string_view name) const {
  const auto found = index_.find(name);
  return found == index_.end() ? nullptr : &table_[found->second].second;
}

}  // namespace octavo::format
