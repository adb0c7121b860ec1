// The options that every command which runs a model has.
#pragma once

#include <string>

#include "cli/options.h"
#include "engine/engine.h"

namespace octavo::cli {

struct EngineArguments {
  std::string compute = "f32";
  std::string kv = "32";
  int64_t threads = 0;
};

void DeclareEngineOptions(Options& options, EngineArguments& a);
// `kv_tokens`: positions of KV memory that the command needs, before rounding to blocks.
engine::EngineOptions ToEngineOptions(const EngineArguments& a, int64_t kv_tokens);
// The positions that a sequence of `tokens` takes in KV memory: whole blocks.
int64_t KvTokensFor(int64_t tokens);

}  // namespace octavo::cli
