#include "compress/forecast.h"

#include <algorithm>

#include <fmt/format.h>

#include "core/bytes.h"
#include "core/file.h"
#include "core/host.h"

namespace octavo::compress {
namespace {

constexpr int64_t kFloat = 4;
// Code, and what the allocator keeps.
constexpr int64_t kProcess = int64_t{96} << 20;

int64_t BlockWeights(const model::ModelConfig& c) {
  const int64_t q = c.heads * c.head_dim;
  const int64_t kv = c.kv_heads * c.head_dim;
  return c.hidden_size * (2 * q + 2 * kv) + 3 * c.hidden_size * c.intermediate_size;
}

}  // namespace

Forecast ForecastBlocks(const model::ModelConfig& c, const LayerPlan& plan, const Recipe& recipe,
                        int64_t tokens, int64_t max_states_bytes, int threads) {
  const int64_t block = BlockWeights(c);
  const int64_t widest = std::max({c.hidden_size, c.heads * c.head_dim, c.intermediate_size});
  const int64_t states = tokens * c.hidden_size * kFloat;
  int64_t moments = 0;
  int64_t factor = 0;
  if (recipe.needs_moments()) {
    moments =
        kFloat * (2 * c.hidden_size * c.hidden_size + c.heads * c.head_dim * c.heads * c.head_dim +
                  c.intermediate_size * c.intermediate_size);
    // 12 K^2 bytes while it is made, and a thread's rows (quant/gptq_factor.h, quant/gptq.h).
    if (recipe.method == Method::kGptq) factor = 12 * widest * widest + 1024 * widest * threads;
  }
  const int64_t scratch = model::kRowsPerPass * kFloat *
                          (4 * c.hidden_size + 3 * c.heads * c.head_dim + 3 * c.intermediate_size);
  Forecast out;
  // The block as f32, and packed for its pass, or its factor and codes, whichever is more.
  const int64_t packed = tokens > 0 ? kFloat * block : 0;
  // A head is quantized or rotated in pieces, but its codes are held whole.
  const int64_t head = plan.head ? c.vocab_size * c.hidden_size : 0;
  out.memory_bytes =
      kProcess + std::max(kFloat * block + moments + std::max(packed, factor + block) + scratch +
                              std::min(states, max_states_bytes),
                          head * 2);
  double bits = 0;
  for (int64_t layer = 0; layer < c.layers; ++layer) {
    const int64_t group_weights = block / static_cast<int64_t>(kFusedGroups.size());
    for (const FusedGroup group : kFusedGroups)
      bits += static_cast<double>(group_weights) * (plan.of(layer, group).weight_bits + 0.6);
  }
  const auto artifact = static_cast<int64_t>(bits / 8) + 2 * 2 * c.vocab_size * c.hidden_size;
  const int64_t saved_states = tokens > 0 ? 2 * states : 0;
  const int64_t spilled = states > max_states_bytes ? states : 0;
  out.disk_bytes = 2 * artifact + saved_states + spilled;
  out.multiply_adds = 2.0 * static_cast<double>(tokens) * static_cast<double>(block) *
                      static_cast<double>(c.layers);
  return out;
}

std::string Describe(const Forecast& forecast) {
  return fmt::format("needs about {} of memory and {} of disk",
                     core::HumanBytes(static_cast<uint64_t>(forecast.memory_bytes)),
                     core::HumanBytes(static_cast<uint64_t>(forecast.disk_bytes)));
}

core::Status CheckForecast(const Forecast& forecast, const std::string& folder) {
  const auto memory = core::AvailableMemoryBytes();
  if (memory && static_cast<uint64_t>(forecast.memory_bytes) > *memory) {
    return core::Exhausted(fmt::format(
        "{}, but only {} of memory are available; calibrate with fewer or shorter samples, or take "
        "a method without second moments (--method rtn, --rotate fold)",
        Describe(forecast), core::HumanBytes(*memory)));
  }
  OCTAVO_TRY(const uint64_t disk, core::FreeDiskBytes(folder));
  if (static_cast<uint64_t>(forecast.disk_bytes) > disk) {
    return core::Exhausted(
        fmt::format("{}, but only {} are free in {}; give an --out on another disk, or calibrate "
                    "with fewer samples",
                    Describe(forecast), core::HumanBytes(disk), folder));
  }
  return {};
}

}  // namespace octavo::compress
