// Prompts of several kinds from this repository's own files, for tests of the traffic check.
#pragma once

#include <algorithm>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "compress/prompt_sample.h"
#include "core/file.h"
#include "core/random.h"
#include "text/tokenizer.h"

namespace octavo::compress {

using PromptPool = std::vector<SampledPrompt>;

inline void AddPrompt(const text::Tokenizer& tokenizer, std::string text, PromptPool& pool) {
  SampledPrompt prompt;
  prompt.line = static_cast<int64_t>(pool.size()) + 1;
  prompt.ids = tokenizer.Encode(text, false).value();
  prompt.written = std::move(text);
  pool.push_back(std::move(prompt));
}

// Pieces of `lines` lines that are not blank.
inline void AddPieces(const text::Tokenizer& tokenizer, std::string_view text, int lines,
                      PromptPool& pool) {
  std::string piece;
  int count = 0;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    piece.append(line).push_back('\n');
    if (++count < lines) continue;
    AddPrompt(tokenizer, std::move(piece), pool);
    piece.clear();
    count = 0;
  }
}

// Pieces of ten lines of the C++ files below the folder `source`.
inline PromptPool CodePool(const text::Tokenizer& tokenizer, const std::string& source) {
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(source)) {
    if (entry.path().extension() == ".cc") files.push_back(entry.path().string());
  }
  std::sort(files.begin(), files.end());
  PromptPool pool;
  for (const std::string& file : files)
    AddPieces(tokenizer, core::ReadFile(file).value(), 10, pool);
  return pool;
}

// The same prompts with each Latin letter in Cyrillic, as a transliteration might have it.
inline PromptPool InCyrillic(const text::Tokenizer& tokenizer, const PromptPool& from) {
  constexpr std::string_view kLetters[26] = {"а", "б", "ц", "д", "е", "ф", "г", "х", "и",
                                             "й", "к", "л", "м", "н", "о", "п", "я", "р",
                                             "с", "т", "у", "в", "ш", "ж", "ы", "з"};
  PromptPool pool;
  for (const SampledPrompt& prompt : from) {
    std::string text;
    for (const char c : prompt.written) {
      const auto lower = static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
      if (lower >= 'a' && lower <= 'z') {
        text += kLetters[lower - 'a'];
      } else {
        text += c;
      }
    }
    AddPrompt(tokenizer, std::move(text), pool);
  }
  return pool;
}

// `count` different members, drawn.
inline PromptPool Draw(const PromptPool& pool, size_t count, core::Random& random) {
  EXPECT_LE(count, pool.size());
  std::vector<int64_t> order(pool.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int64_t>(i);
  Shuffle(order, random.Next());
  PromptPool out;
  for (size_t i = 0; i < std::min(count, pool.size()); ++i)
    out.push_back(pool[static_cast<size_t>(order[i])]);
  return out;
}

}  // namespace octavo::compress
