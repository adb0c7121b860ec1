// w8a8-static: layers whose input codes have one scale from the file, beside layers of other
// schemes, against plain loops.
#include <bit>
#include <cmath>

#include <gtest/gtest.h>

#include "core/random.h"
#include "core/temp_folder.h"
#include "engine/changed_copy.h"
#include "engine/fixture.h"
#include "kernels/dispatch.h"
#include "model/projection.h"

namespace octavo::engine {
namespace {

constexpr tensor::Scheme kStatic = {8, 0, tensor::Activations::kStaticPerTensor};
constexpr tensor::Scheme kDynamic = {8, 0, tensor::Activations::kDynamicPerToken};

bool EndsWith(const std::string& text, const char* end) {
  return text.ends_with(end);
}

// Scales that clip some inputs; q and k, and gate and up, have others than each other, and within
// q, k, v every kind of layer meets.
LayerChange Mixed(const std::string& module) {
  if (EndsWith(module, "q_proj")) return {kStatic, 0.035F};
  if (EndsWith(module, "k_proj")) return {kStatic, 0.03F};
  if (EndsWith(module, "v_proj"))
    return EndsWith(module, "layers.0.self_attn.v_proj") ? LayerChange{kDynamic, 0} : LayerChange{};
  if (EndsWith(module, "gate_proj")) return {kStatic, 0.035F};
  if (EndsWith(module, "up_proj"))
    return {kStatic, EndsWith(module, "layers.1.mlp.up_proj") ? 0.035F : 0.03F};
  if (EndsWith(module, "down_proj")) return {kStatic, 0.1F};
  return {{8, 0, tensor::Activations::kFloat}, 0};
}

void WriteMixed(const std::string& fixture, const std::string& to,
                const std::function<LayerChange(const std::string&)>& change = Mixed) {
  const core::Status status = WriteChangedCopy(
      FixturePath(fixture), to,
      [&](const std::string& module, std::vector<float>&, int64_t, int64_t) {
        return change(module);
      },
      [](core::Json quantization) { return quantization; });
  ASSERT_TRUE(status.ok()) << status.error().message();
}

std::vector<float> Logits(Engine& engine, const std::vector<TokenId>& tokens, size_t piece) {
  Sequence sequence = engine.NewSequence();
  std::vector<float> out;
  for (size_t i = 0; i < tokens.size(); i += piece) {
    const Step step{&sequence, std::span(tokens).subspan(i, std::min(piece, tokens.size() - i)), 0};
    const auto logits = engine.Forward({&step, 1}).value();
    out.insert(out.end(), logits.begin(), logits.end());
  }
  return out;
}

// code = round half even(x / scale), clamped to +-127; out = sum of products * input scale, times
// the weight's scale, plus the bias.
std::vector<float> PlainStatic(const tensor::QuantizedTensor& weight, const std::vector<float>& x,
                               const std::vector<float>& bias) {
  const auto k = static_cast<size_t>(weight.k);
  const auto n = static_cast<size_t>(weight.n);
  const float scale = *weight.input_scale;
  std::vector<float> out(x.size() / k * n);
  for (size_t i = 0; i < out.size(); ++i) {
    int32_t sum = 0;
    for (size_t j = 0; j < k; ++j) {
      const float code = std::nearbyint(x[i / n * k + j] / scale);
      sum += static_cast<int32_t>(std::fmin(std::fmax(code, -127.0F), 127.0F)) *
             weight.codes[i % n * k + j];
    }
    out[i] = std::fma(static_cast<float>(sum) * scale, weight.scales[i % n],
                      bias.empty() ? -0.0F : bias[i % n]);
  }
  return out;
}

TEST(StaticActivations, ALayerEqualsPlainLoopsOnEveryTable) {
  core::Random random(3);
  core::ThreadPool pool(2);
  const core::TempFolder temp;
  ASSERT_NO_FATAL_FAILURE(WriteMixed("qwen2", temp.path()));  // q, k, v have biases
  const auto folder = format::ModelFolder::Open(temp.path());
  ASSERT_TRUE(folder.ok());
  const auto quantization = format::QuantizationConfig::Parse(folder.value().config()).value();
  const kernels::KernelTable& active = kernels::ActiveTable();
  for (const char* name : {"self_attn.q_proj", "mlp.down_proj"}) {
    const std::string module = std::string("model.layers.1.") + name;
    const auto weight = format::ReadQuantizedLinear(folder.value(), module, kStatic).value();
    const bool has_bias = EndsWith(module, "q_proj");
    std::vector<float> bias;
    if (has_bias)
      bias = model::LoadFloats(folder.value(), module + ".bias", weight.n, weight.n).value();
    for (const int64_t rows : {1, 3, 16, 37}) {
      std::vector<float> x(static_cast<size_t>(rows * weight.k));
      for (float& v : x) v = static_cast<float>(random.Normal());
      // Ties, zeros and what is far beyond the scale.
      for (size_t i = 0; i < 40; ++i)
        x[i] = *weight.input_scale * (static_cast<float>(i) * 8 - 160.5F);
      x[41] = 0;
      x[42] = -1e30F;
      x[43] = 3e38F;
      const auto want = PlainStatic(weight, x, bias);
      for (const kernels::KernelTable* table : kernels::AllTables()) {
        if (!table->supported(kernels::HostCpu())) continue;
        kernels::ForceTable(*table);
        format::WeightReader reader(folder.value());
        const auto linear =
            model::Linear::Load(reader, quantization, module, weight.n, weight.k, has_bias, pool);
        ASSERT_TRUE(linear.ok()) << linear.error().message();
        std::vector<float> out(want.size());
        model::ProjectionScratch scratch;
        const model::Tap no_tap;
        const model::ModelConfig config;
        model::Profile profile;
        // int8 activations do not depend on how floats are computed.
        for (const auto compute : {model::Compute::kF32, model::Compute::kBF16}) {
          model::Project({config, compute, pool, no_tap, profile}, 0, {x.data(), rows},
                         {{&linear.value(), out.data()}}, scratch);
          for (size_t i = 0; i < out.size(); ++i) {
            ASSERT_EQ(std::bit_cast<uint32_t>(out[i]), std::bit_cast<uint32_t>(want[i]))
                << table->isa << " " << module << " at " << i;
          }
        }
        EXPECT_EQ(linear.value().kernel(), "w8a8-static");
      }
    }
  }
  kernels::ForceTable(active);
}

// Every layer of a mixed model multiplies the codes that its own entry in the file asks for:
// running it alone on what the tap saw gives what comes out of the group.
TEST(StaticActivations, MixedLayersOfABlockEachReadTheirOwnCodes) {
  const core::TempFolder temp;
  ASSERT_NO_FATAL_FAILURE(WriteMixed("llama", temp.path()));
  const auto engine = Engine::Load(temp.path(), {}).value();
  core::ThreadPool pool(1);
  const model::Tap no_tap;
  const model::ModelConfig config;
  model::Profile profile;
  const model::ForwardContext context{config, model::Compute::kF32, pool, no_tap, profile};
  const auto linears = engine->model().linears();
  core::Random random(5);
  for (size_t layer = 0; layer < 2; ++layer) {
    const model::Linear* q = linears[layer * 7];
    ASSERT_TRUE(EndsWith(q->name(), "q_proj"));
    const int64_t rows = 19;
    std::vector<float> x(static_cast<size_t>(rows * q->k()));
    for (float& v : x) v = static_cast<float>(random.Normal());
    const auto run = [&](std::initializer_list<const model::Linear*> group) {
      std::vector<std::vector<float>> outs;
      for (const model::Linear* l : group) outs.emplace_back(static_cast<size_t>(rows * l->n()));
      model::ProjectionScratch scratch;
      const model::Linear* const* at = group.begin();
      if (group.size() == 3) {
        model::Project(context, 0, {x.data(), rows},
                       {{at[0], outs[0].data()}, {at[1], outs[1].data()}, {at[2], outs[2].data()}},
                       scratch);
      } else {
        model::Project(context, 0, {x.data(), rows}, {{at[0], outs[0].data()}}, scratch);
      }
      return outs;
    };
    const auto together = run({q, linears[layer * 7 + 1], linears[layer * 7 + 2]});
    for (size_t i = 0; i < 3; ++i)
      EXPECT_EQ(together[i], run({linears[layer * 7 + i]})[0]) << linears[layer * 7 + i]->name();
  }
  EXPECT_EQ(linears[0]->kernel(), "w8a8-static");
  EXPECT_EQ(linears[2]->kernel(), "w8a8");
  EXPECT_EQ(linears[9]->kernel().substr(0, 3), "w32");
}

TEST(StaticActivations, LogitsAreCloseAndDoNotDependOnCutsThreadsOrIsa) {
  const auto tokens = FixtureTokens("llama")[2];
  const core::TempFolder temp;
  ASSERT_NO_FATAL_FAILURE(WriteMixed("llama", temp.path()));
  EngineOptions one_thread;
  one_thread.threads = 1;
  const auto engine = Engine::Load(temp.path(), {}).value();
  const auto alone = Engine::Load(temp.path(), one_thread).value();
  const auto whole = Logits(*engine, tokens, tokens.size());
  EXPECT_EQ(whole, Logits(*engine, tokens, 1));
  EXPECT_EQ(whole, Logits(*alone, tokens, 33));
  const kernels::KernelTable& active = kernels::ActiveTable();
  for (const kernels::KernelTable* table : kernels::AllTables()) {
    if (!table->supported(kernels::HostCpu())) continue;
    kernels::ForceTable(*table);
    EXPECT_EQ(whole, Logits(*engine, tokens, tokens.size())) << table->isa;
  }
  kernels::ForceTable(active);
  const auto floats = Logits(*LoadFixture("llama"), tokens, tokens.size());
  double error = 0;
  double size = 0;
  for (size_t i = 0; i < whole.size(); ++i) {
    error += std::pow(static_cast<double>(whole[i]) - static_cast<double>(floats[i]), 2);
    size += std::pow(static_cast<double>(floats[i]), 2);
  }
  EXPECT_LT(error, 0.05 * size);
  EXPECT_GT(error, 0);

  // The scale of the file is the one that runs: another one gives other logits.
  const core::TempFolder broken;
  ASSERT_NO_FATAL_FAILURE(WriteMixed("llama", broken.path(), [](const std::string& module) {
    LayerChange out = Mixed(module);
    if (module == "model.layers.1.mlp.up_proj") out.input_scale *= 1.5F;
    return out;
  }));
  EXPECT_NE(whole, Logits(*Engine::Load(broken.path(), {}).value(), tokens, tokens.size()));
}

TEST(StaticActivations, AScaleThatNothingReadsIsRefused) {
  const core::TempFolder temp;
  ASSERT_NO_FATAL_FAILURE(WriteMixed("llama", temp.path()));
  core::Json config = core::ReadJsonFile(temp / "config.json").value();
  for (core::Json& group : config["quantization_config"]["config_groups"]) {
    core::Json& activations = group["input_activations"];
    if (activations.is_null()) continue;
    activations["strategy"] = "token";
    activations["dynamic"] = true;
  }
  ASSERT_TRUE(core::WriteFileAtomic(temp / "config.json", core::DumpJson(config)).ok());
  const auto engine = Engine::Load(temp.path(), {});
  ASSERT_FALSE(engine.ok());
  EXPECT_NE(engine.error().message().find(".input_scale"), std::string::npos);
}

}  // namespace
}  // namespace octavo::engine
