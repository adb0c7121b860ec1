// A seeded sample of the prompts of some files, as text and as token ids, with the unusable ones
// named.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/progress.h"
#include "core/result.h"
#include "core/thread_pool.h"
#include "eval/prompts.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace octavo::compress {

struct PromptSampleOptions {
  int64_t samples = 256;  // at most so many
  int64_t context = 0;    // longer prompts are unusable; 0: none is
  uint64_t seed = 0;
};

struct SampledPrompt {
  int64_t file = 0;      // index into the list of files
  int64_t line = 0;      // from 1
  std::string written;   // what was written, without the template's markup
  int64_t messages = 0;  // of a chat; 0: a plain text
  bool system = false;   // a message of the system, or of the developer, is among them
  std::vector<text::TokenId> ids;
};

enum class BadPromptKind : uint8_t {
  kMalformed,  // no JSON, missing or wrong fields, or the template refuses it
  kEmpty,      // nothing but white space was written
  kTooLong,
};

struct BadPrompt {
  int64_t file = 0;
  int64_t line = 0;
  BadPromptKind kind = BadPromptKind::kMalformed;
  std::string reason;
};

struct PromptSample {
  std::vector<SampledPrompt> prompts;  // in the order in which they were drawn
  std::vector<BadPrompt> bad;          // by file and line
  std::vector<int64_t> lines;          // of each file, blank ones apart
};

// Draws prompts without replacement, every line of all `files` alike, until `options.samples` are
// usable or no line is left. All lines are read and checked for their fields; whether a prompt
// renders and fits is known of those that were drawn. The files are mapped, so memory stays at a
// few words a line and the sample itself. The same files, options and tokenizer give the same
// sample for any number of threads. Errors: a file that cannot be read, and cancellation; a bad
// prompt is none.
core::Result<PromptSample> SamplePrompts(const std::vector<std::string>& files,
                                         const PromptSampleOptions& options,
                                         const text::Tokenizer& tokenizer,
                                         const text::ChatTemplate* chat_template,
                                         core::ThreadPool& pool, core::Progress& progress,
                                         const core::CancelToken& cancel);

// Shuffles `items` by `seed` (Fisher and Yates): every order is equally likely.
void Shuffle(std::vector<int64_t>& items, uint64_t seed);

}  // namespace octavo::compress
