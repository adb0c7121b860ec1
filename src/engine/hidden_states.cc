#include "engine/hidden_states.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "core/file.h"

namespace octavo::engine {
namespace {
constexpr int64_t kRowsPerPiece = 4096;
}  // namespace

core::Result<HiddenStates> HiddenStates::Create(std::vector<int64_t> lengths, int64_t width,
                                                const HiddenStatesOptions& options) {
  HiddenStates out;
  out.lengths_ = std::move(lengths);
  out.width_ = width;
  for (const int64_t length : out.lengths_) {
    OCTAVO_CHECK(length >= 0);
    out.first_rows_.push_back(out.rows_);
    out.rows_ += length;
  }
  const int64_t floats = out.rows_ * width;
  const int64_t bytes = floats * static_cast<int64_t>(sizeof(float));
  if (bytes <= options.max_memory_bytes) {
    out.memory_.resize(static_cast<size_t>(floats));
  } else {
    OCTAVO_TRY(out.file_,
               core::SpillFile::Create(options.spill_folder, static_cast<uint64_t>(bytes)));
  }
  return out;
}

core::Status HiddenStates::Read(int64_t row, std::span<float> into) const {
  const auto first = static_cast<size_t>(row * width_);
  OCTAVO_CHECK(row >= 0 && first + into.size() <= static_cast<size_t>(rows_ * width_));
  if (file_) return file_->Read(first * sizeof(float), std::as_writable_bytes(into));
  std::copy_n(memory_.begin() + static_cast<std::ptrdiff_t>(first), into.size(), into.begin());
  return {};
}

core::Status HiddenStates::Write(int64_t row, std::span<const float> from) {
  const auto first = static_cast<size_t>(row * width_);
  OCTAVO_CHECK(row >= 0 && first + from.size() <= static_cast<size_t>(rows_ * width_));
  if (file_) return file_->Write(first * sizeof(float), std::as_bytes(from));
  std::copy(from.begin(), from.end(), memory_.begin() + static_cast<std::ptrdiff_t>(first));
  return {};
}

core::Status HiddenStates::Save(const std::string& path) const {
  OCTAVO_TRY(core::AtomicFile file, core::AtomicFile::Create(path, 0600));
  std::vector<float> piece(static_cast<size_t>(std::min(rows_, kRowsPerPiece) * width_));
  for (int64_t row = 0; row < rows_; row += kRowsPerPiece) {
    const std::span<float> rows(piece.data(),
                                static_cast<size_t>(std::min(kRowsPerPiece, rows_ - row) * width_));
    OCTAVO_RETURN_IF_ERROR(Read(row, rows));
    OCTAVO_RETURN_IF_ERROR(file.Append(std::as_bytes(rows)));
  }
  return file.Commit();
}

core::Status HiddenStates::Load(const std::string& path) {
  OCTAVO_TRY(const core::MappedFile file, core::MappedFile::Open(path));
  if (file.bytes().size() != static_cast<size_t>(rows_ * width_) * sizeof(float)) {
    return core::Invalid(path + ": holds " + std::to_string(file.bytes().size()) +
                         " bytes, expected hidden states of shape [" + std::to_string(rows_) +
                         ", " + std::to_string(width_) + "]");
  }
  std::vector<float> piece(static_cast<size_t>(std::min(rows_, kRowsPerPiece) * width_));
  for (int64_t row = 0; row < rows_; row += kRowsPerPiece) {
    const std::span<float> rows(piece.data(),
                                static_cast<size_t>(std::min(kRowsPerPiece, rows_ - row) * width_));
    const core::ByteSpan bytes =
        file.bytes().subspan(static_cast<size_t>(row * width_) * sizeof(float), rows.size_bytes());
    std::memcpy(rows.data(), bytes.data(), bytes.size());
    file.DropPages(bytes);
    OCTAVO_RETURN_IF_ERROR(Write(row, rows));
  }
  return {};
}

}  // namespace octavo::engine
