#include "compress/calibration.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include <fmt/format.h>

#include "compress/ranges.h"
#include "core/bytes.h"
#include "core/file.h"
#include "core/hash.h"
#include "format/safetensors.h"

namespace octavo::compress {
namespace {

using core::Invalid;
using core::Json;
using core::Result;
using core::Status;
using tensor::DType;

constexpr unsigned kPrivate = 0600;

// Tensor `name` of type `dtype` and rank 1 as a vector.
template <typename T>
Result<std::vector<T>> GetVector(const format::SafetensorsFile& file, std::string_view name,
                                 DType dtype) {
  const tensor::TensorView* const view = file.Find(name);
  if (view == nullptr || view->dtype != dtype || view->rank() != 1) {
    return Invalid(fmt::format("tensor '{}' is missing or is not a vector of {}", name,
                               tensor::DTypeName(dtype)));
  }
  std::vector<T> out(static_cast<size_t>(view->elements()));
  if (!out.empty()) std::memcpy(out.data(), view->bytes.data(), view->bytes.size());
  return out;
}

Status ReadTokens(const std::string& path, int64_t context, int64_t vocab_size, Calibration& out) {
  OCTAVO_TRY(const auto file, format::SafetensorsFile::Open(path));
  OCTAVO_TRY(const auto tokens, GetVector<int32_t>(file, "tokens", DType::kI32));
  OCTAVO_TRY(const auto offsets, GetVector<int64_t>(file, "offsets", DType::kI64));
  OCTAVO_TRY(out.places, GetVector<int64_t>(file, "places", DType::kI64));
  const auto total = static_cast<int64_t>(tokens.size());
  if (offsets.size() != out.places.size() + 1 || offsets.front() != 0 || offsets.back() != total) {
    return Invalid("'offsets' must have one entry more than 'places', from 0 to the tokens' end");
  }
  if (out.places.empty()) return Invalid("holds no sample");
  for (size_t i = 0; i + 1 < offsets.size(); ++i) {
    const int64_t begin = offsets[i];
    const int64_t end = offsets[i + 1];
    if (begin < 0 || end <= begin || end > total || end - begin > context) {
      return Invalid(fmt::format("sample {} is [{}, {}) of {} tokens, expected 1 to {} of them", i,
                                 begin, end, total, context));
    }
    if (out.places[i] < 0 || (i > 0 && out.places[i] <= out.places[i - 1])) {
      return Invalid(fmt::format("'places' does not ascend at {}", i));
    }
    out.samples.emplace_back(tokens.begin() + begin, tokens.begin() + end);
  }
  for (const int32_t id : tokens) {
    if (id < 0 || id >= vocab_size) {
      return Invalid(fmt::format("token id {} is outside the vocabulary of {}", id, vocab_size));
    }
  }
  return {};
}

Result<std::string> WriteTokens(const std::string& path, const Calibration& calibration) {
  std::vector<int32_t> tokens;
  std::vector<int64_t> offsets = {0};
  for (const std::vector<int32_t>& sample : calibration.samples) {
    tokens.insert(tokens.end(), sample.begin(), sample.end());
    offsets.push_back(static_cast<int64_t>(tokens.size()));
  }
  const auto shape = [](const auto& v) { return tensor::Shape{static_cast<int64_t>(v.size())}; };
  OCTAVO_TRY(auto writer,
             format::SafetensorsWriter::Create(path,
                                               {{"offsets", DType::kI64, shape(offsets)},
                                                {"places", DType::kI64, shape(calibration.places)},
                                                {"tokens", DType::kI32, shape(tokens)}},
                                               kPrivate));
  OCTAVO_RETURN_IF_ERROR(writer.Append(core::AsBytes(std::span<const int64_t>(offsets))));
  OCTAVO_RETURN_IF_ERROR(
      writer.Append(core::AsBytes(std::span<const int64_t>(calibration.places))));
  OCTAVO_RETURN_IF_ERROR(writer.Append(core::AsBytes(std::span<const int32_t>(tokens))));
  return writer.Commit();
}

// What can be counted in `samples`.
Json CountsOf(const Calibration& calibration) {
  std::vector<int64_t> lengths;
  for (const auto& sample : calibration.samples)
    lengths.push_back(static_cast<int64_t>(sample.size()));
  std::sort(lengths.begin(), lengths.end());
  OCTAVO_CHECK(!lengths.empty());
  return {
      {"samples", lengths.size()},
      {"tokens", calibration.tokens()},
      {"length",
       {{"min", lengths.front()},
        {"median", lengths[lengths.size() / 2]},
        {"max", lengths.back()}}},
  };
}

Status CheckFile(const Json& files, const std::string& folder, const std::string& name) {
  OCTAVO_TRY(const std::string expected, core::GetString(files, name));
  OCTAVO_TRY(const std::string actual, core::Sha256File(core::JoinPath(folder, name)));
  if (actual == expected) return {};
  return Invalid(fmt::format("{} is not the file that {} names: SHA-256 {:.12}..., expected {:.12}",
                             name, kCalibrationName, actual, core::Printable(expected)));
}

// Where `folder` is what may be replaced.
Status CheckReplaceable(const std::string& folder) {
  if (!core::FolderExists(folder)) return {};
  OCTAVO_TRY(const auto names, core::ListFolder(folder));
  if (names.empty() || core::FileExists(core::JoinPath(folder, kCalibrationName))) return {};
  return Invalid(fmt::format(
      "{}: is a folder with something else in it; name a new one, or remove it first", folder));
}

}  // namespace

int64_t Calibration::tokens() const {
  return std::accumulate(
      samples.begin(), samples.end(), int64_t{0},
      [](int64_t sum, const auto& sample) { return sum + static_cast<int64_t>(sample.size()); });
}

Result<Calibration> ReadCalibration(const std::string& folder, bool allow_shard) {
  const std::string path = core::JoinPath(folder, kCalibrationName);
  Calibration out;
  OCTAVO_TRY(const std::string text, core::ReadFile(path, uint64_t{1} << 26));
  out.digest = core::Sha256Hex(text);
  const auto read = [&]() -> Status {
    OCTAVO_TRY(out.summary, core::ParseJson(text));
    OCTAVO_TRY(const int64_t schema, core::GetInt(out.summary, "schema"));
    if (schema != 1) return core::Unsupported(fmt::format("schema {}, expected 1", schema));
    const Json* const shard = core::Find(out.summary, "shard");
    if (shard != nullptr && !allow_shard) {
      return Invalid("is one shard of a calibration: merge all of them first (calibrate --merge)");
    }
    const Json* const files = core::Find(out.summary, "files");
    if (files == nullptr) return Invalid("field 'files' is missing");
    OCTAVO_TRY(const int64_t context, core::GetInt(out.summary, "context"));
    OCTAVO_TRY(const int64_t vocab_size, core::GetInt(out.summary, "vocab_size"));
    OCTAVO_RETURN_IF_ERROR(CheckFile(*files, folder, kTokensName));
    OCTAVO_RETURN_IF_ERROR(ReadTokens(core::JoinPath(folder, kTokensName), context, vocab_size, out)
                               .Context(kTokensName));
    const Json* const inputs = core::Find(out.summary, "inputs");
    if (inputs == nullptr) return {};
    OCTAVO_RETURN_IF_ERROR(CheckFile(*files, folder, kRangesName));
    OCTAVO_TRY(out.ranges,
               ReadRanges(core::JoinPath(folder, kRangesName), *inputs).Context(kRangesName));
    return {};
  };
  OCTAVO_RETURN_IF_ERROR(read().Context(folder));
  return out;
}

Status WriteCalibration(const std::string& folder, Calibration& calibration) {
  OCTAVO_RETURN_IF_ERROR(CheckReplaceable(folder));
  OCTAVO_TRY(core::AtomicDirectory directory, core::AtomicDirectory::Create(folder));
  Json& summary = calibration.summary;
  const Json counts = CountsOf(calibration);
  for (const auto& [key, value] : counts.items()) summary[key] = value;
  OCTAVO_TRY(const std::string tokens_sha256,
             WriteTokens(core::JoinPath(directory.staging(), kTokensName), calibration));
  for (const char* key : {"inputs", "files"}) summary.erase(key);  // so that they come last
  Json files = {{kTokensName, tokens_sha256}};
  if (!calibration.ranges.empty()) {
    OCTAVO_TRY(files[kRangesName],
               WriteRanges(core::JoinPath(directory.staging(), kRangesName), calibration.ranges));
    summary["inputs"] = DescribeRanges(calibration.ranges);
  }
  summary["files"] = std::move(files);
  const std::string text = core::DumpJson(summary);
  OCTAVO_RETURN_IF_ERROR(
      core::WriteFileAtomic(core::JoinPath(directory.staging(), kCalibrationName), text, kPrivate));
  calibration.digest = core::Sha256Hex(text);
  return directory.Commit();
}

}  // namespace octavo::compress
