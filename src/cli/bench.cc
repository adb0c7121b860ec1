// octavo bench: how fast a model loads, reads a prompt and writes tokens on this machine.
#include <algorithm>
#include <charconv>
#include <set>

#include <fmt/format.h>

#include "cli/command.h"
#include "cli/engine_arguments.h"
#include "cli/print.h"
#include "cli/table.h"
#include "core/bytes.h"
#include "core/clock.h"
#include "core/host.h"
#include "core/random.h"
#include "core/version.h"
#include "engine/engine.h"
#include "stats/quantile.h"
#include "tensor/quant_spec.h"

namespace octavo::cli {
namespace {

using engine::TokenId;

constexpr int kRounds = 3;

struct Arguments {
  std::string model;
  int64_t prefill = 512;
  int64_t decode = 64;
  int64_t context = 128;
  std::vector<std::string> batch = {"1"};
  bool json = false;
  EngineArguments engine;
};

void Declare(Options& options, Arguments& a) {
  options.Positional("MODEL", a.model, "a model folder, 16-bit or quantized");
  options.Value("--prefill", "N", a.prefill, "tokens of the prompt");
  options.Value("--decode", "N", a.decode, "tokens written, one at a time");
  options.Value("--context", "N", a.context, "tokens that stand before the written ones");
  options.Values("--batch", "N,...", a.batch, "sequences that are written side by side [1]");
  DeclareEngineOptions(options, a.engine);
  options.Flag("--json", a.json, "print the figures as JSON");
}

core::Result<std::vector<int64_t>> ParseBatches(const std::vector<std::string>& texts) {
  std::vector<int64_t> out;
  for (const std::string& text : texts) {
    int64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size() || value < 1 || value > 256) {
      return core::Usage(
          fmt::format("--batch is '{}', expected numbers from 1 to 256", core::Printable(text)));
    }
    out.push_back(value);
  }
  return out;
}

// The work does not depend on which ids they are.
std::vector<TokenId> RandomIds(const engine::Engine& engine, int64_t count) {
  core::Random random(1);
  std::vector<TokenId> ids(static_cast<size_t>(count));
  for (TokenId& id : ids) {
    id = static_cast<TokenId>(random.Below(static_cast<uint64_t>(engine.config().vocab_size)));
  }
  return ids;
}

core::Result<double> PrefillSeconds(engine::Engine& engine, int64_t tokens) {
  const std::vector<TokenId> ids = RandomIds(engine, tokens);
  engine::Sequence sequence = engine.NewSequence();
  const engine::Step step{&sequence, ids, tokens - 1};
  const core::Stopwatch watch;
  OCTAVO_RETURN_IF_ERROR(engine.Forward({&step, 1}));
  return watch.Seconds();
}

// Seconds of `tokens` steps that each write one token of `batch` sequences, behind `context` ones.
core::Result<double> DecodeSeconds(engine::Engine& engine, int64_t batch, int64_t context,
                                   int64_t tokens) {
  const std::vector<TokenId> ids = RandomIds(engine, context);
  std::vector<engine::Sequence> sequences;
  for (int64_t i = 0; i < batch; ++i) sequences.push_back(engine.NewSequence());
  std::vector<engine::Step> steps;
  for (engine::Sequence& sequence : sequences) {
    const engine::Step prefill{&sequence, ids, context};
    OCTAVO_RETURN_IF_ERROR(engine.Forward({&prefill, 1}));
    steps.push_back({&sequence, std::span(ids).first(1), 0});
  }
  const core::Stopwatch watch;
  for (int64_t i = 0; i < tokens; ++i) OCTAVO_RETURN_IF_ERROR(engine.Forward(steps));
  return watch.Seconds();
}

// Median over the rounds, after one that warms up.
template <typename Measure>
core::Result<double> MedianSeconds(Context& context, const Measure& measure) {
  std::vector<double> seconds;
  for (int round = 0; round <= kRounds; ++round) {
    OCTAVO_RETURN_IF_ERROR(context.cancel.Check());
    OCTAVO_TRY(const double one, measure());
    if (round > 0) seconds.push_back(one);
  }
  return stats::Median(seconds);
}

std::string Isas(const engine::Engine& engine) {
  std::set<std::string> names;
  for (const model::Linear* linear : engine.model().linears()) names.insert(linear->isa());
  return fmt::format("{}", fmt::join(names, "+"));
}

// Of the blocks' layers; "mixed" when they differ.
std::string SchemeOf(const engine::Engine& engine) {
  std::set<std::string> names;
  for (const model::Linear* linear : engine.model().linears()) {
    if (linear->name().starts_with("model.layers.")) {
      names.insert(tensor::SchemeName(linear->scheme()));
    }
  }
  return names.size() == 1 ? *names.begin() : "mixed";
}

core::Json Machine(const engine::Engine& engine) {
  return {{"cpu", core::CpuName()},   {"isa", Isas(engine)},  {"threads", engine.threads()},
          {"read_gb_per_s", nullptr}, {"int8_tops", nullptr}, {"bf16_tflops", nullptr},
          {"f32_tflops", nullptr}};
}

void PrintTable(const core::Json& bench) {
  Table table({"", "tokens/s"});
  for (const core::Json& row : bench["prefill"]) {
    table.Add({fmt::format("prefill of {} tokens", row["tokens"].get<int64_t>()),
               fmt::format("{:.1f}", row["tokens_per_s"].get<double>())});
  }
  for (const core::Json& row : bench["decode"]) {
    table.Add({fmt::format("decode, batch {}, behind {} tokens", row["batch"].get<int64_t>(),
                           row["context"].get<int64_t>()),
               fmt::format("{:.1f}", row["tokens_per_s"].get<double>())});
  }
  const core::Json& machine = bench["machine"];
  const core::Json& peak = bench["load"]["peak_rss_bytes"];
  Print(table.Render() +
        fmt::format(
            "\nloaded in {:.2f} s, {} of weights{}\n{}, {} threads, {}, scheme {}, {}\n",
            bench["load"]["seconds"].get<double>(),
            core::HumanBytes(bench["weights_bytes"].get<uint64_t>()),
            peak.is_null() ? std::string() : ", peak " + core::HumanBytes(peak.get<uint64_t>()),
            machine["cpu"].get<std::string>(), machine["threads"].get<int>(),
            machine["isa"].get<std::string>(), bench["scheme"].get<std::string>(),
            bench["compute"].get<std::string>()));
}

core::Result<Exit> Run(const Arguments& a, Context& context) {
  OCTAVO_TRY(const std::vector<int64_t> batches, ParseBatches(a.batch));
  if (a.prefill < 1 || a.decode < 1 || a.context < 1) {
    return core::Usage("--prefill, --decode and --context must be 1 or more");
  }
  const int64_t batch = *std::max_element(batches.begin(), batches.end());
  const int64_t kv_tokens =
      std::max(KvTokensFor(a.prefill), batch * KvTokensFor(a.context + a.decode));
  const core::Stopwatch load_watch;
  OCTAVO_TRY(const auto engine,
             engine::Engine::Load(a.model, ToEngineOptions(a.engine, kv_tokens)));
  const double load_seconds = load_watch.Seconds();
  const auto load_peak = core::PeakRssBytes();

  context.progress.Begin("bench", static_cast<int64_t>(batches.size()) + 1, "measurements");
  core::Json prefill = core::Json::array();
  core::Json decode = core::Json::array();
  OCTAVO_TRY(const double prefill_seconds,
             MedianSeconds(context, [&] { return PrefillSeconds(*engine, a.prefill); }));
  prefill.push_back({{"tokens", a.prefill},
                     {"tokens_per_s", static_cast<double>(a.prefill) / prefill_seconds},
                     {"fraction_of_limit", nullptr},
                     {"linear_fraction_of_peak", nullptr}});
  context.progress.Advance(1);
  for (const int64_t size : batches) {
    OCTAVO_TRY(const double seconds, MedianSeconds(context, [&] {
                 return DecodeSeconds(*engine, size, a.context, a.decode);
               }));
    decode.push_back({{"batch", size},
                      {"context", a.context},
                      {"tokens_per_s", static_cast<double>(size * a.decode) / seconds},
                      {"fraction_of_limit", nullptr}});
    context.progress.Advance(1);
  }
  context.progress.End();
  const core::Json document = {
      {"schema", 1},
      {"octavo_version", core::kVersion},
      {"machine", Machine(*engine)},
      {"prefill", std::move(prefill)},
      {"decode", std::move(decode)},
      {"load",
       {{"seconds", load_seconds},
        {"peak_rss_bytes", load_peak ? core::Json(*load_peak) : core::Json()}}},
      {"weights_bytes", engine->model().resident_bytes()},
      {"compute", a.engine.compute},
      {"kv", a.engine.kv},
      {"scheme", SchemeOf(*engine)}};
  if (a.json) {
    PrintJson(document);
  } else {
    PrintTable(document);
  }
  return Exit::kDone;
}

}  // namespace

Command BenchCommand() {
  return MakeCommand<Arguments>("bench", "Measures how fast a model loads, reads and writes",
                                "octavo bench smollm2-w8a16 --prefill 512 --decode 64 --batch 1,8",
                                Declare, Run);
}

}  // namespace octavo::cli
