// The metadata of a GGUF file from config.json: the inverse of gguf_config.h.
#pragma once

#include <string>
#include <vector>

#include "core/json.h"
#include "core/result.h"
#include "format/gguf_writer.h"
#include "hub/gguf_config.h"

namespace octavo::hub {

struct ExportModel {
  const ImportedArchitecture* architecture = nullptr;
  int64_t layers = 0;
  int64_t heads = 0;
  int64_t kv_heads = 0;
  int64_t head_dim = 0;
  int64_t vocab_size = 0;
  bool tied = false;                 // the head is the embedding
  format::GgufMetadata metadata;     // general.architecture and the keys of the architecture
  std::vector<float> rope_divisors;  // of rope_freqs.weight; empty: none
  std::vector<std::string> notes;    // what the file cannot say, one sentence each
};

// Refused by name: architectures and rope scalings that octavo does not export. A sliding window,
// which llama.cpp does not have for these architectures, shortens the context to its size.
core::Result<ExportModel> PlanExport(const core::Json& config);

}  // namespace octavo::hub
