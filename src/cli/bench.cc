// octavo bench: how fast a model loads, reads a prompt and writes tokens on this machine, and what
// the machine would allow.
#include <algorithm>
#include <charconv>
#include <filesystem>
#include <set>

#include <fmt/format.h>

#include "cli/command.h"
#include "cli/engine_arguments.h"
#include "cli/print.h"
#include "cli/speed.h"
#include "cli/table.h"
#include "compress/dummy.h"
#include "compress/quantize.h"
#include "core/bytes.h"
#include "core/clock.h"
#include "core/file.h"
#include "core/host.h"
#include "core/version.h"
#include "engine/engine.h"
#include "format/manifest.h"
#include "tensor/quant_spec.h"

namespace octavo::cli {
namespace {

struct Arguments {
  std::string model;
  std::string dummy;
  std::string scheme = "w8a16";
  int64_t head = 16;
  std::string write;
  SpeedOptions speed;
  std::vector<std::string> batch = {"1"};
  bool crossover = false;
  bool no_limits = false;
  bool json = false;
  EngineArguments engine;
};

void Declare(Options& options, Arguments& a) {
  options.OptionalPositional("MODEL", "--model", a.model, "a model folder, 16-bit or quantized");
  options.Value("--dummy", "DIR", a.dummy,
                "instead of MODEL: random weights of the shape that DIR/config.json describes");
  options.Value("--scheme", "S", a.scheme, "of the dummy: 16, or as octavo quantize has it");
  options.Value("--head", "BITS", a.head, "of the dummy's lm_head: 16 or 8");
  options.Value("--write", "DIR", a.write, "keep the dummy in DIR");
  options.Value("--prefill", "N", a.speed.prefill, "tokens of a prompt");
  options.Value("--prompts", "N", a.speed.prompts, "prompts that are read side by side");
  options.Value("--decode", "N", a.speed.decode, "tokens written, one at a time");
  options.Value("--context", "N", a.speed.context, "tokens that stand before the written ones");
  options.Values("--batch", "N,...", a.batch, "sequences that are written side by side [1]");
  options.Flag("--crossover", a.crossover,
               "which scheme is the fastest at which batch, on this machine: MODEL (16-bit) or the "
               "dummy in every scheme");
  options.Flag("--no-limits", a.no_limits,
               "leave out what the machine allows, which takes seconds to measure");
  a.engine.kv = "16";  // as served
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

core::Status Check(const Arguments& a) {
  if (a.model.empty() == a.dummy.empty()) {
    return core::Usage("give either MODEL or --dummy with the folder of a config.json");
  }
  if (!a.write.empty() && a.dummy.empty()) return core::Usage("--write goes with --dummy");
  if (a.speed.prefill < 1 || a.speed.prompts < 1 || a.speed.decode < 1 || a.speed.context < 1)
    return core::Usage("--prefill, --prompts, --decode and --context must be 1 or more");
  return {};
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

core::Json Optional(std::optional<double> value, double unit) {
  return value ? core::Json(*value / unit) : core::Json();
}

core::Json Machine(const engine::Engine& engine,
                   const std::optional<kernels::MachineLimits>& limits) {
  core::Json out = {{"cpu", core::CpuName()},      {"isa", Isas(engine)},
                    {"threads", engine.threads()}, {"read_gb_per_s", nullptr},
                    {"int8_tops", nullptr},        {"bf16_tflops", nullptr},
                    {"f32_tflops", nullptr}};
  if (!limits) return out;
  out["read_gb_per_s"] = limits->read_bytes_per_s / 1e9;
  out["int8_tops"] = Optional(limits->int8_ops_per_s, 1e12);
  out["bf16_tflops"] = Optional(limits->bf16_ops_per_s, 1e12);
  out["f32_tflops"] = limits->f32_ops_per_s / 1e12;
  return out;
}

std::string Percent(const core::Json& fraction) {
  return fraction.is_null() ? "" : fmt::format("{:.0f}%", 100 * fraction.get<double>());
}

std::string MachineLine(const core::Json& machine) {
  std::string line = fmt::format("{}, {}, {} threads", machine["cpu"].get<std::string>(),
                                 machine["isa"].get<std::string>(), machine["threads"].get<int>());
  if (machine["read_gb_per_s"].is_null()) return line;
  line += fmt::format("; limits: read {:.1f} GB/s, f32 {:.2f} TFLOPS",
                      machine["read_gb_per_s"].get<double>(), machine["f32_tflops"].get<double>());
  if (!machine["bf16_tflops"].is_null())
    line += fmt::format(", bf16 {:.2f} TFLOPS", machine["bf16_tflops"].get<double>());
  if (!machine["int8_tops"].is_null())
    line += fmt::format(", int8 {:.2f} TOPS", machine["int8_tops"].get<double>());
  return line;
}

void PrintTable(const core::Json& bench) {
  Table table({"", "tokens/s", "of the limit", ""});
  for (const core::Json& row : bench["prefill"]) {
    const auto prompts = row["prompts"].get<int64_t>();
    table.Add({fmt::format("prefill of {}{} tokens",
                           prompts > 1 ? fmt::format("{} x ", prompts) : std::string(),
                           row["tokens"].get<int64_t>()),
               fmt::format("{:.1f}", row["tokens_per_s"].get<double>()),
               Percent(row["fraction_of_limit"]),
               fmt::format(
                   "linear layers {} of the time{}, attention {}", Percent(row["linear_share"]),
                   row["linear_fraction_of_peak"].is_null()
                       ? std::string()
                       : fmt::format(" at {} of the peak", Percent(row["linear_fraction_of_peak"])),
                   Percent(row["attention_share"]))});
  }
  for (const core::Json& row : bench["decode"]) {
    table.Add({fmt::format("decode, batch {}, behind {} tokens", row["batch"].get<int64_t>(),
                           row["context"].get<int64_t>()),
               fmt::format("{:.1f}", row["tokens_per_s"].get<double>()),
               Percent(row["fraction_of_limit"]),
               fmt::format("reads {} a step{}; linear layers {} of the time, attention {}",
                           core::HumanBytes(row["bytes_per_step"].get<uint64_t>()),
                           row["read_gb_per_s"].is_null()
                               ? std::string()
                               : fmt::format(", the machine {:.1f} GB/s",
                                             row["read_gb_per_s"].get<double>()),
                           Percent(row["linear_share"]), Percent(row["attention_share"]))});
  }
  const core::Json& peak = bench["load"]["peak_rss_bytes"];
  Print(table.Render() +
        fmt::format(
            "\nscheme {}, compute {}, kv {}; loaded in {:.2f} s, {} of weights{}\n{}\n",
            bench["scheme"].get<std::string>(), bench["compute"].get<std::string>(),
            bench["kv"].get<std::string>(), bench["load"]["seconds"].get<double>(),
            core::HumanBytes(bench["weights_bytes"].get<uint64_t>()),
            peak.is_null() ? std::string() : ", peak " + core::HumanBytes(peak.get<uint64_t>()),
            MachineLine(bench["machine"])));
}

// A folder beside the system's temporary files that is gone at the end, or the one that the user
// named.
core::Result<core::AtomicDirectory> DummyFolder(const Arguments& a) {
  if (!a.write.empty()) return format::CreateOutputFolder(a.write);
  return core::AtomicDirectory::Create(
      (std::filesystem::temp_directory_path() / "octavo-dummy").string());
}

// Returns the details for its octavo.json.
core::Result<core::Json> Write(const Arguments& a, const std::string& scheme, int head_bits,
                               const std::string& out, Context& context) {
  return compress::WriteDummy(a.dummy, out, {.scheme = scheme, .head_bits = head_bits},
                              context.progress, context.cancel);
}

core::Result<core::Json> Bench(const Arguments& a, const std::string& model_dir,
                               const EngineArguments& engine_arguments, Context& context) {
  const core::Stopwatch load_watch;
  OCTAVO_TRY(
      const auto engine,
      engine::Engine::Load(model_dir, ToEngineOptions(engine_arguments, KvTokensFor(a.speed))));
  const double load_seconds = load_watch.Seconds();
  const auto load_peak = core::PeakRssBytes();
  std::optional<kernels::MachineLimits> limits;
  if (!a.no_limits) limits = kernels::MeasureMachine(engine->pool());
  OCTAVO_TRY(core::Json document,
             MeasureSpeed(*engine, a.speed, limits, context.progress, context.cancel));
  document["schema"] = 1;
  document["octavo_version"] = core::kVersion;
  document["machine"] = Machine(*engine, limits);
  document["load"] = {{"seconds", load_seconds},
                      {"peak_rss_bytes", load_peak ? core::Json(*load_peak) : core::Json()}};
  document["weights_bytes"] = engine->model().resident_bytes();
  document["compute"] = engine_arguments.compute;
  document["kv"] = engine_arguments.kv;
  document["scheme"] = SchemeOf(*engine);
  return document;
}

// What is compared: the compute mode matters where activations are floats.
struct Contender {
  const char* scheme;
  const char* compute;
};
constexpr Contender kContenders[] = {
    {"16", "f32"}, {"16", "bf16"}, {"w8a16", "f32"}, {"w8a16", "bf16"}, {"w8a8", "f32"}};

// The 16-bit model itself, or what quantize (or the dummy) makes of it below `folder`.
core::Result<std::string> Prepare(const Arguments& a, const std::string& scheme,
                                  const std::string& folder, Context& context) {
  const auto head = static_cast<int>(a.head);
  const std::string out = core::JoinPath(folder, scheme);
  if (core::FolderExists(out)) return out;
  if (a.model.empty()) {
    OCTAVO_RETURN_IF_ERROR(core::MakeFolders(out));
    OCTAVO_RETURN_IF_ERROR(Write(a, scheme, scheme == "16" ? 16 : head, out, context));
    return out;
  }
  if (scheme == "16") return a.model;
  OCTAVO_RETURN_IF_ERROR(compress::Quantize(a.model, out, {.scheme = scheme, .head_bits = head},
                                            context.progress, context.cancel));
  return out;
}

std::string ContenderName(const core::Json& row) {
  return fmt::format("{} ({})", row["scheme"].get<std::string>(),
                     row["compute"].get<std::string>());
}

void PrintCrossover(const core::Json& document) {
  std::vector<std::string> columns = {"tokens/s"};
  for (const core::Json& row : document["crossover"]) columns.push_back(ContenderName(row));
  columns.push_back("fastest");
  Table table(columns);
  for (const core::Json& winner : document["winners"]) {
    const auto index = winner["row"].get<size_t>();
    const auto batch = winner["batch"].get<int64_t>();
    std::vector<std::string> cells = {batch == 0 ? std::string("prefill")
                                                 : fmt::format("decode, batch {}", batch)};
    for (const core::Json& row : document["crossover"]) {
      cells.push_back(fmt::format("{:.1f}", row["tokens_per_s"][index].get<double>()));
    }
    cells.push_back(ContenderName(winner));
    table.Add(cells);
  }
  Print(table.Render() + "\n" + MachineLine(document["machine"]) + "\n");
}

core::Result<core::Json> Crossover(const Arguments& a, Context& context) {
  OCTAVO_TRY(const core::AtomicDirectory folder,
             core::AtomicDirectory::Create(
                 (std::filesystem::temp_directory_path() / "octavo-crossover").string()));
  core::Json document = {{"schema", 1},
                         {"octavo_version", core::kVersion},
                         {"crossover", core::Json::array()},
                         {"winners", core::Json::array()}};
  for (const Contender& contender : kContenders) {
    OCTAVO_TRY(const std::string model, Prepare(a, contender.scheme, folder.staging(), context));
    EngineArguments engine = a.engine;
    engine.compute = contender.compute;
    OCTAVO_TRY(core::Json bench, Bench(a, model, engine, context));
    core::Json speeds = core::Json::array();
    speeds.push_back(bench["prefill"][0]["tokens_per_s"]);
    for (const core::Json& row : bench["decode"]) speeds.push_back(row["tokens_per_s"]);
    document["machine"] = bench["machine"];
    document["crossover"].push_back({{"scheme", contender.scheme},
                                     {"compute", contender.compute},
                                     {"tokens_per_s", std::move(speeds)}});
  }
  for (size_t i = 0; i <= a.speed.batches.size(); ++i) {
    const auto best = std::max_element(document["crossover"].begin(), document["crossover"].end(),
                                       [&](const core::Json& x, const core::Json& y) {
                                         return x["tokens_per_s"][i].get<double>() <
                                                y["tokens_per_s"][i].get<double>();
                                       });
    document["winners"].push_back({{"row", i},
                                   {"batch", i == 0 ? 0 : a.speed.batches[i - 1]},
                                   {"scheme", (*best)["scheme"]},
                                   {"compute", (*best)["compute"]}});
  }
  return document;
}

core::Result<Exit> Run(const Arguments& given, Context& context) {
  Arguments a = given;
  OCTAVO_RETURN_IF_ERROR(Check(a));
  if (a.crossover && a.batch == std::vector<std::string>{"1"})
    a.batch = {"1", "2", "4", "8", "16", "32", "64"};
  OCTAVO_TRY(a.speed.batches, ParseBatches(a.batch));
  if (a.crossover) {
    OCTAVO_TRY(const core::Json document, Crossover(a, context));
    if (a.json) {
      PrintJson(document);
    } else {
      PrintCrossover(document);
    }
    return Exit::kDone;
  }
  std::optional<core::AtomicDirectory> dummy;
  std::string model = a.model;
  if (!a.dummy.empty()) {
    OCTAVO_TRY(core::AtomicDirectory folder, DummyFolder(a));
    dummy.emplace(std::move(folder));
    OCTAVO_TRY(core::Json details,
               Write(a, a.scheme, static_cast<int>(std::clamp<int64_t>(a.head, 0, 64)),
                     dummy->staging(), context));
    model = dummy->staging();
    if (!a.write.empty()) {
      const char* kind = details["layers"].empty() ? "base" : "artifact";
      OCTAVO_RETURN_IF_ERROR(format::WriteManifest(model, kind, std::move(details)));
      OCTAVO_RETURN_IF_ERROR(dummy->Commit());
      model = a.write;
    }
  }
  OCTAVO_TRY(const core::Json document, Bench(a, model, a.engine, context));
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
