// Fuzz target: the files of a calibration folder. The first line of the input is the description of
// the ranges (`inputs` of calibration.json; empty: none), the rest is tokens.safetensors and
// ranges.safetensors in one. Whatever is read keeps what Calibration promises.
#include <cstdint>
#include <string_view>

#include "compress/calibration.h"
#include "compress/ranges.h"
#include "core/check.h"
#include "core/file.h"
#include "core/hash.h"
#include "core/temp_folder.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace octavo;
  constexpr int64_t kContext = 64;
  constexpr int64_t kVocab = 320;
  static const core::TempFolder folder;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t line = input.find('\n');
  if (line == std::string_view::npos) return 0;
  const std::string_view tensors = input.substr(line + 1);
  const std::string hash = core::Sha256Hex(tensors);
  core::Json summary = {{"schema", 1},
                        {"context", kContext},
                        {"vocab_size", kVocab},
                        {"files", {{compress::kTokensName, hash}, {compress::kRangesName, hash}}}};
  const auto inputs = core::ParseJson(input.substr(0, line));
  if (inputs.ok()) summary["inputs"] = inputs.value();
  const auto write = [](const std::string& name, std::string_view content) {
    OCTAVO_CHECK(core::WriteFileAtomic(folder / name, content).ok());
  };
  write(compress::kTokensName, tensors);
  write(compress::kRangesName, tensors);
  write(compress::kCalibrationName, core::DumpJson(summary));
  const auto calibration = compress::ReadCalibration(folder / ".");
  if (!calibration.ok()) return 0;
  OCTAVO_CHECK(!calibration.value().samples.empty());
  for (const std::vector<int32_t>& sample : calibration.value().samples) {
    OCTAVO_CHECK(!sample.empty() && static_cast<int64_t>(sample.size()) <= kContext);
    for (const int32_t id : sample) OCTAVO_CHECK(id >= 0 && id < kVocab);
  }
  return 0;
}
