// export: a GGUF file from a model folder, for llama.cpp. The codes of a quantized folder are
// copied, not rounded again.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "core/progress.h"
#include "core/result.h"
#include "format/gguf.h"

namespace octavo::hub {

struct ExportOptions {
  format::GgufType type = format::GgufType::kF16;  // of float matrices: F16, BF16 or Q8_0
  bool round_scales = false;  // round scales that F16 cannot hold, rather than refuse
};

struct ExportSummary {
  std::string sha256;
  int64_t tensors = 0;
  int64_t bytes = 0;                     // of their data
  std::map<std::string, int64_t> types;  // how many of each
  std::vector<std::string> notes;        // what is different there, one sentence each
};

// model_dir: a folder that octavo runs, 16-bit or compressed-tensors. out_file appears whole or not
// at all. The same folder and options give the same bytes. What llama.cpp cannot run is refused by
// name.
core::Result<ExportSummary> ExportGguf(const std::string& model_dir, const std::string& out_file,
                                       const ExportOptions& options, core::Progress& progress,
                                       const core::CancelToken& cancel);

}  // namespace octavo::hub
