// Quantizing the models of testdata, for tests of whole folders.
#pragma once

#include <string>

#include "compress/quantize.h"

namespace octavo::compress {

inline const std::string kModels = std::string(OCTAVO_TESTDATA) + "/architectures/";

inline core::Result<QuantizeSummary> QuantizeTo(const std::string& model, const std::string& out,
                                                const QuantizeOptions& options = {}) {
  return Quantize(model, out, options, core::SilentProgress(), core::CancelToken());
}

}  // namespace octavo::compress
