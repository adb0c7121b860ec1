// octavo serve: a model folder, or what a channel serves, behind an OpenAI-compatible API.
#include <algorithm>
#include <chrono>
#include <optional>
#include <thread>

#include <fmt/format.h>

#include "cli/command.h"
#include "cli/engine_arguments.h"
#include "cli/print.h"
#include "core/file.h"
#include "engine/engine.h"
#include "engine/scheduler.h"
#include "proof/kernel_report.h"
#include "registry/registry.h"
#include "serve/api_server.h"
#include "serve/engine_backend.h"

namespace octavo::cli {
namespace {

constexpr double kDrainSeconds = 30;

struct Arguments {
  std::string model;
  serve::ApiOptions api;
  int64_t port = 8080;
  std::optional<std::string> api_key_file;
  int64_t max_batch = 16;
  int64_t kv_tokens = 32768;
  bool require_int8 = false;
  EngineArguments engine;
};

void Declare(Options& options, Arguments& a) {
  options.Positional("MODEL", a.model, "a model folder, or the name of a channel");
  options.Value("--host", "HOST", a.api.host,
                "address to listen on; others than loopback need a key");
  options.Value("--port", "N", a.port, "0: the system picks one");
  options.Value("--api-key-file", "F", a.api_key_file, "a file whose first line is the key");
  options.Value("--max-batch", "N", a.max_batch, "requests that run together");
  options.Value("--kv-tokens", "N", a.kv_tokens, "positions of KV memory, shared by all requests");
  options.Flag("--require-int8", a.require_int8,
               "refuse to serve unless every layer of every block is INT8");
  a.engine.kv = "16";
  DeclareEngineOptions(options, a.engine);
}

struct Source {
  std::string name;
  std::string folder;
};

core::Result<Source> FindModel(const std::string& model) {
  if (core::FolderExists(model)) return Source{core::BaseName(model), model};
  OCTAVO_TRY(const std::string home, registry::DefaultHome());
  OCTAVO_TRY(registry::Registry store, registry::Registry::Open(home));
  OCTAVO_TRY(const registry::Channel channel,
             store.Resolve(model).Context("no folder of that name, and as a channel"));
  return Source{channel.name, channel.path};
}

core::Result<std::string> ReadKey(const std::string& path) {
  OCTAVO_TRY(std::string key, core::ReadFile(path, 4096));
  key = key.substr(0, key.find_first_of("\r\n"));
  if (key.empty()) return core::Invalid(path + ": its first line is empty; it must be the key");
  return key;
}

// Every layer but lm_head, which stays as it is stored.
core::Status RequireInt8(const core::Json& report) {
  for (const core::Json& layer : report["layers"]) {
    OCTAVO_TRY(const std::string name, core::GetString(layer, "name"));
    OCTAVO_TRY(const std::string stored, core::GetString(layer, "stored"));
    if (name == "lm_head" || name == "model.embed_tokens" || stored == "I8" || stored == "I4") {
      continue;
    }
    return core::Invalid(fmt::format(
        "--require-int8: layer {} is stored as {}; quantize the model first", name, stored));
  }
  return report["fallbacks"].empty()
             ? core::Status()
             : core::Invalid(
                   "--require-int8: a layer runs in another type than it is stored in or "
                   "octavo.json promises; see `octavo doctor`");
}

int64_t SecondsSinceEpoch() {
  return std::chrono::duration_cast<std::chrono::seconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

// Until Ctrl-C; then what runs is finished.
void ServeUntilCancelled(serve::ApiServer& server, const core::CancelToken& cancel) {
  while (!cancel.cancelled()) std::this_thread::sleep_for(std::chrono::milliseconds(100));
  PrintNote("stopping: finishing the requests that run (Ctrl-C again stops at once)");
  server.Drain(kDrainSeconds);
}

core::Result<Exit> Run(const Arguments& a, Context& context) {
  if (a.port < 0 || a.port > 65535) {
    return core::Usage(fmt::format("--port is {}, expected 0 to 65535", a.port));
  }
  if (a.max_batch < 1 || a.max_batch > 1024) {
    return core::Usage(fmt::format("--max-batch is {}, expected 1 to 1024", a.max_batch));
  }
  serve::ApiOptions api = a.api;
  api.port = static_cast<int>(a.port);
  if (a.api_key_file) {
    OCTAVO_TRY(api.api_key, ReadKey(*a.api_key_file));
  }
  OCTAVO_TRY(const Source source, FindModel(a.model));
  OCTAVO_TRY(auto server, serve::ApiServer::Start(api));
  PrintNote(fmt::format("loading {}", source.folder));
  OCTAVO_TRY(const proof::Promise promise, proof::ReadPromise(source.folder));
  OCTAVO_TRY(const auto engine,
             engine::Engine::Load(source.folder, ToEngineOptions(a.engine, a.kv_tokens)));
  if (engine->tokenizer() == nullptr) {
    return core::NotFound(source.folder + ": has no tokenizer.json, which serving needs");
  }
  OCTAVO_TRY(auto chat_template, text::ChatTemplate::Load(source.folder));
  const auto report = [&] { return proof::KernelReport(engine->model(), promise); };
  if (a.require_int8) OCTAVO_RETURN_IF_ERROR(RequireInt8(report()));
  engine::Scheduler scheduler(*engine, {.max_batch = a.max_batch});
  serve::EngineBackend backend(*engine->tokenizer(), std::move(chat_template), scheduler);
  const int64_t context_length = std::min(engine->config().context, engine->free_kv_tokens());
  server->Serve({source.name, context_length, SecondsSinceEpoch(), report}, backend);
  Print(fmt::format("serving {} ({:.12}) at http://{}:{}\n", source.name, promise.digest, api.host,
                    server->port()));
  ServeUntilCancelled(*server, context.cancel);
  server.reset();  // before what it serves
  return Exit::kDone;
}

}  // namespace

Command ServeCommand() {
  return MakeCommand<Arguments>("serve",
                                "Serves a folder or a channel with an OpenAI-compatible API",
                                "octavo serve production --port 8080", Declare, Run);
}

}  // namespace octavo::cli
