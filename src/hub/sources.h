// The kinds of source that pull reads; one function each fills the folder that is being made.
#pragma once

#include <string>

#include "core/json.h"
#include "core/progress.h"
#include "core/result.h"
#include "hub/pull.h"

namespace octavo::hub {

// What a source was, for octavo.json. `kind` and `details` as format::Manifest has them; `revision`
// is null for sources that have none.
struct Origin {
  std::string kind = "base";
  core::Json details;
};

// Writes a Hugging Face folder of `source` into the empty folder `staging`.
core::Result<Origin> PullGguf(const std::string& source, const std::string& staging,
                              const PullOptions& options, core::Progress& progress,
                              const core::CancelToken& cancel);
core::Result<Origin> PullFolder(const std::string& source, const std::string& staging,
                                const PullOptions& options, core::Progress& progress,
                                const core::CancelToken& cancel);

// "float32", "float16" or "bfloat16": `torch_dtype` of config.json.
std::string_view TorchName(tensor::DType dtype);
std::string DTypeOption(const PullOptions& options);

}  // namespace octavo::hub
