// octavo logits: the numbers a model computes for given tokens, to be compared with other runtimes.
#include <fmt/format.h>

#include "cli/command.h"
#include "cli/engine_arguments.h"
#include "cli/print.h"
#include "core/bytes.h"
#include "core/clock.h"
#include "core/json.h"
#include "core/version.h"
#include "engine/engine.h"
#include "format/safetensors.h"

namespace octavo::cli {
namespace {

using engine::TokenId;
using Sequences = std::vector<std::vector<TokenId>>;

struct Arguments {
  std::string model;
  std::string tokens;
  std::string out;
  bool stepwise = false;
  bool batched = false;
  bool json = false;
  EngineArguments engine;
};

void Declare(Options& options, Arguments& a) {
  options.Positional("MODEL", a.model, "a model folder, 16-bit or quantized");
  options.Required("--tokens", "F.json", a.tokens, "a list of lists of token ids");
  options.Required("--out", "F.safetensors", a.out,
                   "gets logits.0, logits.1, ... F32 [T, V], one for each list");
  options.Flag("--stepwise", a.stepwise, "one token at a time, through the KV cache");
  options.Flag("--batched", a.batched, "all lists in one batch");
  DeclareEngineOptions(options, a.engine);
  options.Flag("--json", a.json, "print a JSON summary");
}

core::Result<Sequences> ReadTokens(const std::string& path) {
  OCTAVO_TRY(const core::Json json, core::ReadJsonFile(path));
  const auto wrong = [&](size_t i) {
    return core::Invalid(fmt::format(
        "{}: entry {} is not a non-empty list of token ids; expected [[1, 2], [3]]", path, i));
  };
  if (!json.is_array() || json.empty()) return wrong(0);
  Sequences out;
  for (size_t i = 0; i < json.size(); ++i) {
    if (!json[i].is_array() || json[i].empty()) return wrong(i);
    std::vector<TokenId> ids;
    for (const core::Json& id : json[i]) {
      if (!id.is_number_integer() || id < 0 || id > INT32_MAX) return wrong(i);
      ids.push_back(id.get<TokenId>());
    }
    out.push_back(std::move(ids));
  }
  return out;
}

// Runs `tokens` through the model in the asked-for way and appends their logits.
core::Status WriteLogits(engine::Engine& engine, const Sequences& sequences, const Arguments& a,
                         format::SafetensorsWriter& writer, Context& context) {
  const auto run = [&](const std::vector<engine::Step>& steps) -> core::Status {
    OCTAVO_RETURN_IF_ERROR(context.cancel.Check());
    OCTAVO_TRY(const auto logits, engine.Forward(steps));
    for (const engine::Step& step : steps) {
      context.progress.Advance(static_cast<int64_t>(step.tokens.size()));
    }
    return writer.Append(core::AsBytes(logits));
  };
  if (a.batched) {
    std::vector<engine::Sequence> places;
    std::vector<engine::Step> steps;
    for (size_t i = 0; i < sequences.size(); ++i) places.push_back(engine.NewSequence());
    for (size_t i = 0; i < sequences.size(); ++i) steps.push_back({&places[i], sequences[i], 0});
    return run(steps);
  }
  for (const std::vector<TokenId>& tokens : sequences) {
    engine::Sequence place = engine.NewSequence();
    const size_t piece = a.stepwise ? 1 : tokens.size();
    for (size_t at = 0; at < tokens.size(); at += piece) {
      OCTAVO_RETURN_IF_ERROR(run({{&place, std::span(tokens).subspan(at, piece), 0}}));
    }
  }
  return {};
}

core::Result<Exit> Run(const Arguments& a, Context& context) {
  if (a.stepwise && a.batched) return core::Usage("--stepwise and --batched exclude each other");
  OCTAVO_TRY(const Sequences sequences, ReadTokens(a.tokens));
  int64_t total = 0;
  int64_t kv_sum = 0;
  int64_t kv_max = 0;
  for (const auto& tokens : sequences) {
    total += static_cast<int64_t>(tokens.size());
    kv_sum += KvTokensFor(static_cast<int64_t>(tokens.size()));
    kv_max = std::max(kv_max, KvTokensFor(static_cast<int64_t>(tokens.size())));
  }
  OCTAVO_TRY(const auto engine,
             engine::Engine::Load(a.model, ToEngineOptions(a.engine, a.batched ? kv_sum : kv_max)));
  std::vector<format::TensorPlan> plan;
  for (size_t i = 0; i < sequences.size(); ++i) {
    plan.push_back({fmt::format("logits.{}", i),
                    tensor::DType::kF32,
                    {static_cast<int64_t>(sequences[i].size()), engine->config().vocab_size}});
  }
  OCTAVO_TRY(auto writer, format::SafetensorsWriter::Create(a.out, std::move(plan)));
  const core::Stopwatch watch;
  context.progress.Begin("logits", total, "tokens");
  OCTAVO_RETURN_IF_ERROR(WriteLogits(*engine, sequences, a, writer, context));
  OCTAVO_RETURN_IF_ERROR(writer.Commit());
  context.progress.End();
  if (a.json) {
    PrintJson({{"schema", 1},
               {"octavo_version", core::kVersion},
               {"out", a.out},
               {"sequences", sequences.size()},
               {"tokens", total},
               {"vocab_size", engine->config().vocab_size},
               {"compute", a.engine.compute},
               {"kv", a.engine.kv},
               {"seconds", watch.Seconds()}});
  } else {
    Print(fmt::format("{}: logits of {} tokens in {} sequences\n", a.out, total, sequences.size()));
  }
  return Exit::kDone;
}

}  // namespace

Command LogitsCommand() {
  return MakeCommand<Arguments>(
      "logits", "Computes the logits of given tokens",
      "octavo logits smollm2 --tokens tokens.json --out logits.safetensors", Declare, Run);
}

}  // namespace octavo::cli
