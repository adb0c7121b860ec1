// octavo.toml: what one pipeline takes from a base model to a channel.
#pragma once

#include <optional>
#include <string>

#include "compress/quantize.h"
#include "core/result.h"
#include "eval/evaluate.h"

namespace octavo::workflow {

// Paths as they can be opened: relative ones in the file are meant from the file's folder.
struct Pipeline {
  std::string base;     // a model folder or a .gguf file
  std::string run_dir;  // where the steps leave what they make
  compress::QuantizeOptions quantize;
  std::string suite;
  eval::EvalOptions eval;
  std::optional<std::string> policy;  // absent: eval::DefaultPolicy
  std::string channel;
};

// Reads
//   base = "SmolLM2-135M-Instruct.gguf"
//   run = "octavo-run"        # default
//   [quantize]
//   scheme = "w8a16"          # default; see octavo quantize
//   head = 16                 # default, or 8: bits of lm_head
//   [eval]
//   suite = "suite.toml"
//   compute = "f32"           # of the candidate: default, or "bf16"
//   kv = 32                   # of the candidate: default, or 16
//   [gate]
//   policy = "policy.toml"    # default: octavo's own
//   [promote]
//   channel = "production"
// Errors name file and field; an unknown field is refused.
core::Result<Pipeline> LoadPipeline(const std::string& toml_path);

}  // namespace octavo::workflow
