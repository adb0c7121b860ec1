#include "compress/ranges.h"

#include <cmath>
#include <cstring>
#include <utility>

#include <fmt/format.h>

#include "core/bytes.h"
#include "format/safetensors.h"

namespace octavo::compress {
namespace {

using core::Invalid;
using core::Json;
using core::Result;
using core::Status;
using tensor::DType;

template <typename T>
Result<std::vector<T>> GetVector(const format::SafetensorsFile& file, const std::string& name,
                                 DType dtype, int64_t count) {
  const tensor::TensorView* const view = file.Find(name);
  if (view == nullptr || view->dtype != dtype || view->rank() != 1 ||
      (count > 0 && view->shape[0] != count)) {
    return Invalid(fmt::format("tensor '{}' is missing or not a vector of {}{}",
                               core::Printable(name), count > 0 ? fmt::format("{} ", count) : "",
                               tensor::DTypeName(dtype)));
  }
  std::vector<T> out(static_cast<size_t>(view->elements()));
  if (!out.empty()) std::memcpy(out.data(), view->bytes.data(), view->bytes.size());
  return out;
}

Result<InputRanges> ReadInput(const format::SafetensorsFile& file, const Json& description) {
  InputRanges out;
  OCTAVO_TRY(out.modules, core::GetStrings(description, "modules"));
  if (out.modules.empty()) return Invalid("'modules' is empty");
  OCTAVO_TRY(out.rows, core::GetInt(description, "tokens"));
  const std::string& name = out.modules.front();
  OCTAVO_TRY(auto bins, GetVector<int64_t>(file, name + ".bins", DType::kI64, 0));
  OCTAVO_TRY(const auto exponent, GetVector<int32_t>(file, name + ".bin_exponent", DType::kI32, 1));
  OCTAVO_TRY(out.channel_absmax, GetVector<float>(file, name + ".channel_absmax", DType::kF32, 0));
  OCTAVO_TRY(const auto range, GetVector<float>(file, name + ".range", DType::kF32, 2));
  OCTAVO_TRY(out.magnitudes,
             MagnitudeHistogram::Make(std::move(bins), exponent[0]).Context(name + ".bins"));
  out.min = range[0];
  out.max = range[1];
  bool sound = out.min <= 0 && out.max >= 0 && std::isfinite(out.min) && std::isfinite(out.max) &&
               !out.channel_absmax.empty();
  for (const float absmax : out.channel_absmax)
    sound = sound && absmax >= 0 && absmax <= out.absmax();
  if (!sound) {
    return Invalid(fmt::format("the ranges of '{}' contradict each other", core::Printable(name)));
  }
  return out;
}

}  // namespace

Json DescribeRanges(const std::vector<InputRanges>& ranges) {
  Json out = Json::array();
  for (const InputRanges& input : ranges)
    out.push_back({{"modules", input.modules}, {"tokens", input.rows}});
  return out;
}

Result<std::string> WriteRanges(const std::string& path, const std::vector<InputRanges>& ranges) {
  std::vector<format::TensorPlan> plan;
  for (const InputRanges& input : ranges) {
    const std::string& name = input.modules.front();
    plan.push_back({name + ".bins", DType::kI64, {MagnitudeHistogram::kBins}});
    plan.push_back({name + ".bin_exponent", DType::kI32, {1}});
    plan.push_back({name + ".channel_absmax",
                    DType::kF32,
                    {static_cast<int64_t>(input.channel_absmax.size())}});
    plan.push_back({name + ".range", DType::kF32, {2}});
  }
  OCTAVO_TRY(auto writer, format::SafetensorsWriter::Create(path, std::move(plan), 0600));
  for (const InputRanges& input : ranges) {
    const int32_t exponent = input.magnitudes.exponent();
    const float range[] = {input.min, input.max};
    OCTAVO_RETURN_IF_ERROR(
        writer.Append(core::AsBytes(std::span<const int64_t>(input.magnitudes.bins()))));
    OCTAVO_RETURN_IF_ERROR(writer.Append(core::AsBytes(std::span(&exponent, 1))));
    OCTAVO_RETURN_IF_ERROR(
        writer.Append(core::AsBytes(std::span<const float>(input.channel_absmax))));
    OCTAVO_RETURN_IF_ERROR(writer.Append(core::AsBytes(std::span<const float>(range))));
  }
  return writer.Commit();
}

Result<std::vector<InputRanges>> ReadRanges(const std::string& path, const Json& description) {
  OCTAVO_TRY(const auto file, format::SafetensorsFile::Open(path));
  if (!description.is_array()) return Invalid("'inputs' is not a list");
  std::vector<InputRanges> out;
  for (const Json& item : description) {
    OCTAVO_TRY(InputRanges input, ReadInput(file, item));
    out.push_back(std::move(input));
  }
  return out;
}

}  // namespace octavo::compress
