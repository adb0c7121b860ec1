#include "format/gguf_writer.h"

#include <type_traits>
#include <unordered_set>

#include <fmt/format.h>

namespace octavo::format {
namespace {

constexpr uint64_t kAlignment = 32;
constexpr size_t kMaxNameBytes = 63;  // ggml keeps names in 64 bytes, a NUL among them

// Ids of metadata types.
constexpr uint32_t kU32 = 4, kI32 = 5, kF32 = 6, kBool = 7, kString = 8, kArray = 9;

uint64_t Padding(uint64_t bytes) {
  return (kAlignment - bytes % kAlignment) % kAlignment;
}

// Bytes as the format has them: little-endian, as the machine's own are.
class HeaderBytes {
 public:
  template <typename T>
  void Put(T value) {
    static_assert(std::is_trivially_copyable_v<T>);
    text_.append(reinterpret_cast<const char*>(&value), sizeof(value));
  }
  void Put(const std::string& text) {
    Put(uint64_t{text.size()});
    text_ += text;
  }
  template <typename T>
  void PutList(uint32_t type, const std::vector<T>& list) {
    Put(kArray);
    Put(type);
    Put(uint64_t{list.size()});
    for (const T& item : list) Put(item);
  }
  void PutValue(const GgufMetaValue& value) {
    const auto scalar = [&](uint32_t type, const auto& item) {
      Put(type);
      Put(item);
    };
    if (const auto* u = std::get_if<uint32_t>(&value)) scalar(kU32, *u);
    if (const auto* f = std::get_if<float>(&value)) scalar(kF32, *f);
    if (const auto* b = std::get_if<bool>(&value)) scalar(kBool, static_cast<uint8_t>(*b));
    if (const auto* s = std::get_if<std::string>(&value)) scalar(kString, *s);
    if (const auto* l = std::get_if<std::vector<std::string>>(&value)) PutList(kString, *l);
    if (const auto* l = std::get_if<std::vector<int32_t>>(&value)) PutList(kI32, *l);
    if (const auto* l = std::get_if<std::vector<float>>(&value)) PutList(kF32, *l);
  }
  void Pad() { text_.append(Padding(text_.size()), '\0'); }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

// The bytes of a tensor, if its shape and type make sense.
std::optional<uint64_t> CheckedBytes(const GgufTensorPlan& tensor) {
  const GgufBlock& block = BlockOf(tensor.type);
  const auto count = tensor::ElementCount(tensor.shape);
  const int64_t row = tensor.shape.empty() ? 1 : tensor.shape.back();
  if (!count || tensor.shape.size() > 4 || row % block.elements != 0) return std::nullopt;
  return core::CheckedMul(static_cast<uint64_t>(*count / block.elements),
                          static_cast<uint64_t>(block.bytes));
}

}  // namespace

uint64_t GgufDataBytes(const GgufTensorPlan& plan) {
  const auto bytes = CheckedBytes(plan);
  OCTAVO_CHECK(bytes.has_value());
  return *bytes;
}

GgufWriter::GgufWriter(core::AtomicFile file, std::vector<GgufTensorPlan> plan)
    : file_(std::move(file)), plan_(std::move(plan)) {}

core::Result<GgufWriter> GgufWriter::Create(const std::string& path, const GgufMetadata& metadata,
                                            std::vector<GgufTensorPlan> plan) {
  HeaderBytes header;
  header.Put(uint32_t{0x46554747});  // "GGUF"
  header.Put(uint32_t{3});
  header.Put(uint64_t{plan.size()});
  header.Put(uint64_t{metadata.size()});
  for (const auto& [key, value] : metadata) {
    header.Put(key);
    header.PutValue(value);
  }
  std::unordered_set<std::string_view> names;
  uint64_t offset = 0;
  for (const GgufTensorPlan& tensor : plan) {
    const auto bytes = CheckedBytes(tensor);
    const auto end = bytes ? core::CheckedAdd(offset, *bytes) : std::nullopt;
    if (!end || *end > ~uint64_t{0} - kAlignment || tensor.name.size() > kMaxNameBytes ||
        !names.insert(tensor.name).second) {
      return core::Invalid(
          fmt::format("{}: tensor '{}' of shape {} cannot be written as {}: the name is taken or "
                      "too long, or the shape does not fit",
                      core::PrintablePath(path), core::Printable(tensor.name),
                      tensor::ShapeToString(tensor.shape), BlockOf(tensor.type).name));
    }
    header.Put(tensor.name);
    header.Put(static_cast<uint32_t>(tensor.shape.size()));
    for (size_t i = tensor.shape.size(); i-- > 0;) header.Put(tensor.shape[i]);
    header.Put(static_cast<uint32_t>(tensor.type));
    header.Put(offset);
    offset = *end + Padding(*end);
  }
  header.Pad();
  OCTAVO_TRY(core::AtomicFile file, core::AtomicFile::Create(path));
  GgufWriter writer(std::move(file), std::move(plan));
  OCTAVO_RETURN_IF_ERROR(writer.Put(core::AsBytes(std::string_view(header.text()))));
  return writer;
}

core::Status GgufWriter::Put(core::ByteSpan bytes) {
  hash_.Update(bytes);
  return file_.Append(bytes);
}

core::Status GgufWriter::Append(core::ByteSpan bytes) {
  if (bytes.empty()) return {};
  // Tensors without elements have nothing to append.
  while (tensor_ < plan_.size() && GgufDataBytes(plan_[tensor_]) == 0) ++tensor_;
  OCTAVO_CHECK(tensor_ < plan_.size());
  const uint64_t wanted = GgufDataBytes(plan_[tensor_]);
  OCTAVO_CHECK(bytes.size() <= wanted - written_);
  OCTAVO_RETURN_IF_ERROR(Put(bytes));
  written_ += bytes.size();
  if (written_ < wanted) return {};
  static constexpr std::byte kZeros[kAlignment] = {};
  OCTAVO_RETURN_IF_ERROR(Put(std::span(kZeros).first(Padding(wanted))));
  ++tensor_;
  written_ = 0;
  return {};
}

core::Result<std::string> GgufWriter::Commit() {
  for (; tensor_ < plan_.size(); ++tensor_) {
    if (GgufDataBytes(plan_[tensor_]) == 0) continue;
    return core::Invalid(fmt::format("tensor '{}' was never written whole", plan_[tensor_].name));
  }
  OCTAVO_RETURN_IF_ERROR(file_.Commit());
  return hash_.Hex();
}

}  // namespace octavo::format
