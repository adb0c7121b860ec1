#include "cli/engine_arguments.h"

#include "model/kv_cache.h"

namespace octavo::cli {

void DeclareEngineOptions(Options& options, EngineArguments& a) {
  options.Choice("--compute", {"f32", "bf16"}, a.compute,
                 "activations of linear layers: exact, or rounded to bf16");
  options.Choice("--kv", {"32", "16", "8"}, a.kv, "bits of a number in the KV cache");
  options.Value("--threads", "N", a.threads, "0: one for each core");
}

engine::EngineOptions ToEngineOptions(const EngineArguments& a, int64_t kv_tokens) {
  engine::EngineOptions options;
  options.threads = static_cast<int>(std::min<int64_t>(a.threads, 1024));
  options.compute = a.compute == "bf16" ? model::Compute::kBF16 : model::Compute::kF32;
  options.kv = a.kv == "8"    ? model::KvType::kI8
               : a.kv == "16" ? model::KvType::kI16
                              : model::KvType::kF32;
  options.kv_tokens = kv_tokens;
  return options;
}

int64_t KvTokensFor(int64_t tokens) {
  constexpr int64_t kBlock = model::kKvBlockPositions;
  return (tokens + kBlock - 1) / kBlock * kBlock;
}

}  // namespace octavo::cli
