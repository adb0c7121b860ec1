// octavo generate: text from one prompt, as it is made.
#include <fmt/format.h>

#include "cli/command.h"
#include "cli/engine_arguments.h"
#include "cli/print.h"
#include "core/clock.h"
#include "core/json.h"
#include "core/version.h"
#include "engine/engine.h"
#include "engine/sampling.h"
#include "engine/scheduler.h"
#include "text/chat_template.h"

namespace octavo::cli {
namespace {

struct Arguments {
  std::string model;
  std::string prompt;
  bool chat = false;
  engine::SamplingOptions sampling;
  int64_t seed = 0;
  bool json = false;
  EngineArguments engine;
};

void Declare(Options& options, Arguments& a) {
  options.Positional("MODEL", a.model, "a model folder, 16-bit or quantized");
  options.Required("--prompt", "TEXT", a.prompt, "what to continue, or with --chat to answer");
  options.Flag("--chat", a.chat, "put the prompt into the model's chat template");
  options.Value("--max-tokens", "N", a.sampling.max_tokens, "stop after so many");
  options.Value("--temperature", "T", a.sampling.temperature, "0: always the likeliest token");
  options.Value("--top-p", "P", a.sampling.top_p,
                "sample from the likeliest tokens up to this sum");
  options.Value("--top-k", "K", a.sampling.top_k, "sample from so many tokens; 0: all");
  options.Value("--seed", "N", a.seed, "of the sampling");
  options.Values("--stop", "TEXT", a.sampling.stop, "end before this text; may be repeated");
  DeclareEngineOptions(options, a.engine);
  options.Flag("--json", a.json, "print one JSON document instead of the text");
}

core::Result<std::vector<engine::TokenId>> EncodePrompt(const Arguments& a,
                                                        const text::Tokenizer& tokenizer) {
  if (!a.chat) return tokenizer.Encode(a.prompt, /*add_special_tokens=*/true);
  OCTAVO_TRY(const auto chat, text::ChatTemplate::Load(a.model));
  if (!chat) {
    return core::NotFound(a.model + ": no chat template; leave --chat out to continue plain text");
  }
  const core::Json messages = {{{"role", "user"}, {"content", a.prompt}}};
  OCTAVO_TRY(const std::string rendered, chat->Render(messages, /*add_generation_prompt=*/true));
  return tokenizer.Encode(rendered, /*add_special_tokens=*/false);
}

const char* FinishName(engine::FinishReason reason) {
  return reason == engine::FinishReason::kLength ? "length" : "stop";
}

core::Result<Exit> Run(const Arguments& a, Context& context) {
  engine::GenerationRequest request;
  request.sampling = a.sampling;
  request.sampling.seed = static_cast<uint64_t>(a.seed);
  OCTAVO_RETURN_IF_ERROR(engine::Validate(request.sampling));
  OCTAVO_TRY(const auto tokenizer, text::Tokenizer::Load(a.model));
  OCTAVO_TRY(request.prompt, EncodePrompt(a, tokenizer));
  const auto prompt_tokens = static_cast<int64_t>(request.prompt.size());
  OCTAVO_TRY(
      const auto engine,
      engine::Engine::Load(
          a.model, ToEngineOptions(a.engine, KvTokensFor(prompt_tokens + a.sampling.max_tokens))));
  std::string text;
  int64_t tokens = 0;
  engine::GenerationEvent last;
  request.on_event = [&](engine::GenerationEvent&& event) {
    text += event.text;
    tokens += static_cast<int64_t>(event.tokens.size());
    if (!a.json) Print(event.text);
    if (event.finish != engine::FinishReason::kNone) last = std::move(event);
  };
  const core::Stopwatch watch;
  OCTAVO_RETURN_IF_ERROR(engine::Generate(*engine, request, context.cancel));
  if (last.finish == engine::FinishReason::kError) return core::Invalid(last.error);
  if (a.json) {
    PrintJson({{"schema", 1},
               {"octavo_version", core::kVersion},
               {"text", text},
               {"finish_reason", FinishName(last.finish)},
               {"prompt_tokens", prompt_tokens},
               {"completion_tokens", tokens},
               {"seconds", watch.Seconds()}});
  } else {
    Print("\n");
  }
  return Exit::kDone;
}

}  // namespace

Command GenerateCommand() {
  return MakeCommand<Arguments>("generate", "Continues a prompt, or answers it",
                                "octavo generate smollm2 --chat --prompt \"What is an octavo?\"",
                                Declare, Run);
}

}  // namespace octavo::cli
