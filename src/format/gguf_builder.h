// GGUF files put together in memory, right or wrong on purpose. For tests only.
#pragma once

#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "format/gguf.h"

namespace octavo::format {

class GgufBuilder {
 public:
  template <typename T>
  static std::string Raw(T value) {
    return {reinterpret_cast<const char*>(&value), sizeof(value)};
  }
  static std::string Text(std::string_view text) {
    return Raw(uint64_t{text.size()}) + std::string(text);
  }

  // A key and the bytes of its value, type first.
  GgufBuilder& Key(std::string_view key, const std::string& typed_value) {
    keys_.emplace_back(key, typed_value);
    return *this;
  }
  GgufBuilder& U32(std::string_view key, uint32_t value) {
    return Key(key, Raw(uint32_t{4}) + Raw(value));
  }
  GgufBuilder& F32(std::string_view key, float value) {
    return Key(key, Raw(uint32_t{6}) + Raw(value));
  }
  GgufBuilder& Bool(std::string_view key, bool value) {
    return Key(key, Raw(uint32_t{7}) + Raw(static_cast<uint8_t>(value)));
  }
  GgufBuilder& String(std::string_view key, std::string_view value) {
    return Key(key, Raw(uint32_t{8}) + Text(value));
  }
  GgufBuilder& Strings(std::string_view key, const std::vector<std::string>& values) {
    std::string bytes = Raw(uint32_t{9}) + Raw(uint32_t{8}) + Raw(uint64_t{values.size()});
    for (const std::string& value : values) bytes += Text(value);
    return Key(key, bytes);
  }
  GgufBuilder& I32s(std::string_view key, const std::vector<int32_t>& values) {
    std::string bytes = Raw(uint32_t{9}) + Raw(uint32_t{5}) + Raw(uint64_t{values.size()});
    for (const int32_t value : values) bytes += Raw(value);
    return Key(key, bytes);
  }
  GgufBuilder& RemoveKey(std::string_view key) {
    std::erase_if(keys_, [&](const auto& entry) { return entry.first == key; });
    return *this;
  }

  // `shape` outermost first; `bytes` must be what shape and type take unless a wrong file is
  // wanted.
  GgufBuilder& Tensor(std::string_view name, GgufType type, const tensor::Shape& shape,
                      std::string bytes) {
    tensors_.push_back(
        {std::string(name), static_cast<uint32_t>(type), shape, std::move(bytes), {}});
    return *this;
  }
  GgufBuilder& F32Tensor(std::string_view name, const tensor::Shape& shape,
                         const std::vector<float>& values) {
    std::string bytes(values.size() * sizeof(float), '\0');
    if (!values.empty()) std::memcpy(bytes.data(), values.data(), bytes.size());
    return Tensor(name, GgufType::kF32, shape, std::move(bytes));
  }
  GgufBuilder& RemoveTensor(std::string_view name) {
    std::erase_if(tensors_, [&](const auto& entry) { return entry.name == name; });
    return *this;
  }

  // What the file says of the tensor that was added last, against the truth.
  GgufBuilder& ClaimOffset(uint64_t offset) {
    tensors_.back().claimed_offset = {offset};
    return *this;
  }
  GgufBuilder& ClaimType(uint32_t type) {
    tensors_.back().type = type;
    return *this;
  }
  GgufBuilder& ClaimShape(const tensor::Shape& shape) {
    tensors_.back().shape = shape;
    return *this;
  }
  GgufBuilder& Version(uint32_t version) {
    version_ = version;
    return *this;
  }
  GgufBuilder& Counts(uint64_t tensors, uint64_t keys) {
    claimed_counts_ = {tensors, keys};
    return *this;
  }

  std::string Build(size_t alignment = 32) const {
    const auto pad = [&](std::string& text) {
      text.append((alignment - text.size() % alignment) % alignment, '\0');
    };
    std::string out = "GGUF" + Raw(version_);
    out += claimed_counts_.empty() ? Raw(uint64_t{tensors_.size()}) + Raw(uint64_t{keys_.size()})
                                   : Raw(claimed_counts_[0]) + Raw(claimed_counts_[1]);
    for (const auto& [key, value] : keys_) out += Text(key) + value;
    std::string data;
    for (const Entry& entry : tensors_) {
      pad(data);
      out += Text(entry.name) + Raw(static_cast<uint32_t>(entry.shape.size()));
      for (size_t i = entry.shape.size(); i-- > 0;) out += Raw(entry.shape[i]);
      out += Raw(entry.type);
      out += Raw(entry.claimed_offset.empty() ? uint64_t{data.size()} : entry.claimed_offset[0]);
      data += entry.bytes;
    }
    pad(out);
    return out + data;
  }

 private:
  struct Entry {
    std::string name;
    uint32_t type;
    tensor::Shape shape;
    std::string bytes;
    std::vector<uint64_t> claimed_offset;  // none or one
  };
  uint32_t version_ = 3;
  std::vector<std::pair<std::string, std::string>> keys_;
  std::vector<Entry> tensors_;
  std::vector<uint64_t> claimed_counts_;  // none or two
};

}  // namespace octavo::format
