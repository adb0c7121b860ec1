// A suite: what an evaluation measures on. The command line's options and SUITE.toml both become
// one of these.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"

namespace octavo::eval {

// Which tokens of a window of C count: those at positions C/2..C-1, each with at least C/2 tokens
// before it, or all but the first, which has none.
enum class Score { kSecondHalf, kAll };
std::string_view ScoreName(Score score);  // "second-half", "all"
core::Result<Score> ParseScore(std::string_view name);

// A UTF-8 text for perplexity and divergence, cut into windows of `context` tokens without overlap;
// a last partial window is dropped.
struct TextSpec {
  std::string name;  // by which results and policies call it
  std::string file;
  int64_t context = 512;
  int64_t chunks = 0;  // the first so many windows; 0: all
  Score score = Score::kSecondHalf;
};

// A JSONL file of prompts (prompts.h) that both models answer greedily.
struct PromptsSpec {
  std::string file;
  int64_t max_tokens = 48;
};

struct Suite {
  std::vector<TextSpec> texts;
  std::vector<PromptsSpec> prompts;
  // Whether these two are measured; their part of the evaluation is null otherwise.
  bool speed = true;
  bool memory = true;
};

// A text given by its path alone is called by its file name without the extension.
std::string TextName(std::string_view path);

// Reads a suite; files are relative to its folder.
//   [[text]]
//   file = "wikitext2.valid.txt"
//   name = "wikitext2"        # default: the file's name
//   context = 512             # default
//   chunks = 40               # default: all
//   score = "second-half"     # default, or "all"
//   [[prompts]]
//   file = "prompts.jsonl"
//   max_tokens = 48           # default
//   [measure]
//   speed = true              # default
//   memory = true             # default
core::Result<Suite> LoadSuite(const std::string& toml_path);

// Names the first thing that cannot be evaluated: two texts of one name, a context below 2, nothing
// to do at all.
core::Status Validate(const Suite& suite);

// SHA-256 over what the suite asks for and the content of its files, wherever they lie.
core::Result<std::string> SuiteDigest(const Suite& suite);

}  // namespace octavo::eval
