// A model of any shape with random weights: speed and memory can be measured before the real one is
// there.
#pragma once

#include <string>

#include "core/json.h"
#include "core/progress.h"
#include "core/result.h"

namespace octavo::compress {

struct DummyOptions {
  std::string scheme = "w8a16";  // or "16"
  int head_bits = 16;
};

// Writes to `out_dir`, which must be there and empty, a model of the shape that
// CONFIG_DIR/config.json describes: random codes with scales that keep activations near 1, random
// floats elsewhere (in the config's torch_dtype, BF16 if it names none). The same config and
// options give the same bytes. Memory stays at a few megabytes. Returns the details for an
// octavo.json, which is left to the caller because it takes a hash of everything.
core::Result<core::Json> WriteDummy(const std::string& config_dir, const std::string& out_dir,
                                    const DummyOptions& options, core::Progress& progress,
                                    const core::CancelToken& cancel);

}  // namespace octavo::compress
