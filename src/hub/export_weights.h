// The weights of a model folder, quantized or not, as the tensors of a GGUF file.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/progress.h"
#include "core/result.h"
#include "format/compressed_tensors.h"
#include "format/gguf_writer.h"
#include "format/model_folder.h"
#include "hub/export_config.h"
#include "hub/export_gguf.h"

namespace octavo::hub {

// One tensor on its way.
struct WeightExport {
  std::string source;                    // the tensor's name in the folder, or the module's
  std::optional<tensor::Scheme> scheme;  // of a quantized module
  format::GgufTensorPlan plan;
  int64_t heads = 0;  // of rows that are interleaved on the way; 0: they keep their order
};

struct WeightExports {
  std::vector<WeightExport> items;  // in the order of the folder
  std::vector<std::string> notes;
};

// What becomes of each tensor. Codes of 8 bits become Q8_0, of 4 bits Q4_0; float matrices become
// options.type (F16 where their rows are no whole blocks), and vectors F32. Refused by name:
// tensors that GGUF has no place for, missing ones, groups or rows that are no multiples of 32, and
// scales that F16 does not hold exactly unless options.round_scales.
core::Result<WeightExports> PlanWeightExports(const format::ModelFolder& folder,
                                              const ExportModel& model,
                                              const ExportOptions& options);

// Writes them in that order; memory stays at one piece and one tensor's scales.
core::Status ExportWeights(const format::ModelFolder& folder, const ExportModel& model,
                           const std::vector<WeightExport>& items, format::GgufWriter& writer,
                           core::Progress& progress, const core::CancelToken& cancel);

}  // namespace octavo::hub
