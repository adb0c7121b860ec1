// pull: makes a Hugging Face model folder with 16-bit weights from what the user has: such a
// folder, or a GGUF file.
#pragma once

#include <optional>
#include <string>

#include "core/progress.h"
#include "core/result.h"
#include "tensor/dtype.h"

namespace octavo::hub {

struct PullOptions {
  std::optional<tensor::DType>
      dtype;  // convert float weights to this type; absent: as the design's section 3 says
};

struct PullSummary {
  std::string digest;  // content digest of the folder
  int64_t tensors = 0;
  int64_t weights_bytes = 0;
};

// `source`: a folder or a .gguf file (told apart by what it holds, not by its name alone).
// `out_dir` appears whole or not at all; memory stays at the largest tensor. Sources that octavo
// cannot read are refused by name.
core::Result<PullSummary> Pull(const std::string& source, const std::string& out_dir,
                               const PullOptions& options, core::Progress& progress,
                               const core::CancelToken& cancel);

}  // namespace octavo::hub
