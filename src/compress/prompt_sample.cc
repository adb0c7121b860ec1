#include "compress/prompt_sample.h"

#include <algorithm>
#include <numeric>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "core/file.h"
#include "core/random.h"

namespace octavo::compress {
namespace {

// Lines between two looks at the cancel token and the progress bar.
constexpr int64_t kLinesPerStep = 4096;
constexpr int64_t kPromptsPerStep = 256;

struct Candidate {
  int64_t file;
  eval::PromptLine line;
};

// What became of a line: a reason where it is bad, and a prompt where one was asked for.
struct Outcome {
  SampledPrompt prompt;
  std::optional<BadPrompt> bad;
};

class Sampler {
 public:
  Sampler(const PromptSampleOptions& options, const text::Tokenizer& tokenizer,
          const text::ChatTemplate* chat_template, core::ThreadPool& pool, core::Progress& progress,
          const core::CancelToken& cancel)
      : options_(options),
        tokenizer_(tokenizer),
        chat_template_(chat_template),
        pool_(pool),
        progress_(progress),
        cancel_(cancel) {}

  core::Status Read(const std::vector<std::string>& files) {
    for (const std::string& file : files) {
      OCTAVO_TRY(core::MappedFile map, core::MappedFile::Open(file));
      maps_.push_back(std::move(map));
      const auto lines = eval::SplitPromptLines(core::AsText(maps_.back().bytes()));
      for (const eval::PromptLine& line : lines) {
        all_.push_back({static_cast<int64_t>(maps_.size()) - 1, line});
      }
      sample_.lines.push_back(static_cast<int64_t>(lines.size()));
    }
    return {};
  }

  // Keeps the lines that hold a prompt with something in it.
  core::Status Check() {
    const auto check = [&](const Candidate& candidate, Outcome& outcome) {
      const auto prompt = eval::ParsePrompt(candidate.line);
      if (!prompt.ok()) {
        outcome.bad = Bad(candidate, BadPromptKind::kMalformed, prompt.error().message());
      } else if (IsBlank(eval::WrittenText(prompt.value()))) {
        outcome.bad = Bad(candidate, BadPromptKind::kEmpty, "nothing is written in it");
      }
    };
    const auto count = static_cast<int64_t>(all_.size());
    progress_.Begin("reading prompts", count, "lines");
    for (int64_t begin = 0; begin < count; begin += kLinesPerStep) {
      const int64_t step = std::min(kLinesPerStep, count - begin);
      OCTAVO_TRY(std::vector<Outcome> outcomes,
                 ForEach(
                     step, [&](int64_t i) { return all_[Index(begin + i)]; }, check));
      for (int64_t i = 0; i < step; ++i) {
        auto& bad = outcomes[Index(i)].bad;
        if (bad) {
          sample_.bad.push_back(*std::move(bad));
        } else {
          good_.push_back(begin + i);
        }
      }
    }
    progress_.End();
    return {};
  }

  core::Status Draw() {
    Shuffle(good_, options_.seed);
    const auto render = [&](const Candidate& candidate, Outcome& outcome) {
      Render(candidate, outcome);
    };
    const auto count = static_cast<int64_t>(good_.size());
    progress_.Begin("tokens", std::min(options_.samples, count), "prompts");
    for (int64_t next = 0; next < count && Missing() > 0;) {
      // As many as are still missing: none is rendered that an earlier one makes superfluous.
      const int64_t step = std::min({Missing(), kPromptsPerStep, count - next});
      OCTAVO_TRY(std::vector<Outcome> outcomes,
                 ForEach(
                     step, [&](int64_t i) { return all_[Index(good_[Index(next + i)])]; }, render));
      for (Outcome& outcome : outcomes) {
        if (outcome.bad) {
          sample_.bad.push_back(*std::move(outcome.bad));
        } else {
          sample_.prompts.push_back(std::move(outcome.prompt));
        }
      }
      next += step;
    }
    progress_.End();
    return {};
  }

  PromptSample Take() {
    std::sort(sample_.bad.begin(), sample_.bad.end(), [](const BadPrompt& a, const BadPrompt& b) {
      return std::pair(a.file, a.line) < std::pair(b.file, b.line);
    });
    return std::move(sample_);
  }

 private:
  static size_t Index(int64_t i) { return static_cast<size_t>(i); }
  static bool IsBlank(std::string_view text) {
    return text.find_first_not_of(" \t\r\n") == std::string_view::npos;
  }
  static BadPrompt Bad(const Candidate& candidate, BadPromptKind kind, std::string reason) {
    return {candidate.file, candidate.line.number, kind, std::move(reason)};
  }
  int64_t Missing() const {
    return options_.samples - static_cast<int64_t>(sample_.prompts.size());
  }

  // work(candidate(i), outcome i) for all i in [0, count), on all threads.
  template <typename Get, typename Work>
  core::Result<std::vector<Outcome>> ForEach(int64_t count, const Get& candidate,
                                             const Work& work) {
    std::vector<Outcome> outcomes(Index(count));
    pool_.ParallelFor(count, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end && !cancel_.cancelled(); ++i)
        work(candidate(i), outcomes[Index(i)]);
    });
    OCTAVO_RETURN_IF_ERROR(cancel_.Check());
    progress_.Advance(count);
    return outcomes;
  }

  void Render(const Candidate& candidate, Outcome& outcome) const {
    const auto prompt = eval::ParsePrompt(candidate.line);
    if (!prompt.ok()) {  // somebody writes to the file at this moment
      outcome.bad = Bad(candidate, BadPromptKind::kMalformed, prompt.error().message());
      return;
    }
    auto rendered = eval::RenderPrompt(prompt.value(), tokenizer_, chat_template_);
    if (!rendered.ok()) {
      outcome.bad = Bad(candidate, BadPromptKind::kMalformed, rendered.error().message());
      return;
    }
    const auto tokens = static_cast<int64_t>(rendered.value().ids.size());
    if (options_.context > 0 && tokens > options_.context) {
      outcome.bad =
          Bad(candidate, BadPromptKind::kTooLong,
              fmt::format("{} tokens, longer than the context of {}", tokens, options_.context));
      return;
    }
    SampledPrompt& out = outcome.prompt;
    out.file = candidate.file;
    out.line = candidate.line.number;
    out.written = eval::WrittenText(prompt.value());
    out.ids = std::move(rendered.value().ids);
    if (!prompt.value().messages) return;
    out.messages = static_cast<int64_t>(prompt.value().messages->size());
    for (const core::Json& message : *prompt.value().messages) {
      const auto role = core::GetString(message, "role");
      out.system =
          out.system || (role.ok() && (role.value() == "system" || role.value() == "developer"));
    }
  }

  const PromptSampleOptions& options_;
  const text::Tokenizer& tokenizer_;
  const text::ChatTemplate* chat_template_;
  core::ThreadPool& pool_;
  core::Progress& progress_;
  const core::CancelToken& cancel_;
  std::vector<core::MappedFile> maps_;
  std::vector<Candidate> all_;
  std::vector<int64_t> good_;  // indices into all_
  PromptSample sample_;
};

}  // namespace

void Shuffle(std::vector<int64_t>& items, uint64_t seed) {
  core::Random random(seed);
  for (size_t i = items.size(); i > 1; --i) std::swap(items[i - 1], items[random.Below(i)]);
}

core::Result<PromptSample> SamplePrompts(const std::vector<std::string>& files,
                                         const PromptSampleOptions& options,
                                         const text::Tokenizer& tokenizer,
                                         const text::ChatTemplate* chat_template,
                                         core::ThreadPool& pool, core::Progress& progress,
                                         const core::CancelToken& cancel) {
  Sampler sampler(options, tokenizer, chat_template, pool, progress, cancel);
  OCTAVO_RETURN_IF_ERROR(sampler.Read(files));
  OCTAVO_RETURN_IF_ERROR(sampler.Check());
  OCTAVO_RETURN_IF_ERROR(sampler.Draw());
  return sampler.Take();
}

}  // namespace octavo::compress
