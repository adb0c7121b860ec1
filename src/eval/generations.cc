// Greedy answers of two engines to the same prompts.
#include "eval/generations.h"

#include <algorithm>
#include <optional>

#include <fmt/format.h>

#include "engine/scheduler.h"

namespace octavo::eval {
namespace {

using core::Json;
using core::Result;
using engine::Engine;
using engine::TokenId;

struct Answer {
  std::string text;
  std::vector<TokenId> ids;
};

Result<Answer> Ask(Engine& engine, const std::vector<TokenId>& prompt, int64_t max_tokens,
                   const core::CancelToken& cancel) {
  Answer answer;
  engine::GenerationRequest request;
  request.prompt = prompt;
  request.sampling.max_tokens = max_tokens;
  request.on_event = [&](engine::GenerationEvent&& event) {
    answer.text += event.text;
    answer.ids.insert(answer.ids.end(), event.tokens.begin(), event.tokens.end());
  };
  OCTAVO_RETURN_IF_ERROR(engine::Generate(engine, request, cancel));
  return answer;
}

// The index of the first token that differs, null when there is none.
Json FirstDifference(const Answer& a, const Answer& b) {
  if (a.ids == b.ids) return Json();
  const auto [in_a, in_b] = std::mismatch(a.ids.begin(), a.ids.end(), b.ids.begin(), b.ids.end());
  return in_a - a.ids.begin();
}

}  // namespace

core::Status AppendGenerations(Engine* baseline, Engine& candidate, const std::string& model_dir,
                               const PromptsSpec& spec, core::Progress& progress,
                               const core::CancelToken& cancel, Json& generations) {
  OCTAVO_TRY(const std::vector<Prompt> prompts, ReadPrompts(spec.file));
  OCTAVO_TRY(const auto chat_template, text::ChatTemplate::Load(model_dir));
  progress.Begin("generations", static_cast<int64_t>(prompts.size()), "prompts");
  for (const Prompt& prompt : prompts) {
    if (cancel.cancelled()) break;
    const std::string place = fmt::format("{}: line {}", spec.file, prompt.line);
    OCTAVO_TRY(
        const RenderedPrompt rendered,
        RenderPrompt(prompt, *candidate.tokenizer(), chat_template ? &*chat_template : nullptr)
            .Context(place));
    OCTAVO_TRY(const Answer answer,
               Ask(candidate, rendered.ids, spec.max_tokens, cancel).Context(place));
    std::optional<Answer> expected;
    if (baseline != nullptr) {
      OCTAVO_TRY(expected, Ask(*baseline, rendered.ids, spec.max_tokens, cancel).Context(place));
    }
    generations.push_back(
        {{"prompt", rendered.text},
         {"baseline", expected ? Json(expected->text) : Json()},
         {"candidate", answer.text},
         {"first_difference", expected ? FirstDifference(*expected, answer) : Json()}});
    progress.Advance(1);
  }
  progress.End();
  return {};
}

}  // namespace octavo::eval
