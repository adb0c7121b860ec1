// Quantizing the models of testdata, for tests of whole folders.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "compress/quantize.h"
#include "core/file.h"

namespace octavo::compress {

inline const std::string kModels = std::string(OCTAVO_TESTDATA) + "/architectures/";

inline core::Result<QuantizeSummary> QuantizeTo(const std::string& model, const std::string& out,
                                                const QuantizeOptions& options = {}) {
  return Quantize(model, out, options, core::SilentProgress(), core::CancelToken());
}

// Name -> content of every file of a folder.
inline std::map<std::string, std::string> Contents(const std::string& folder) {
  std::map<std::string, std::string> out;
  const std::vector<std::string> names = core::ListFolder(folder).value();
  for (const std::string& name : names)
    out[name] = core::ReadFile(core::JoinPath(folder, name)).value();
  return out;
}

}  // namespace octavo::compress
