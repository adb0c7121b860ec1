// What can be said about one prompt without running a model, as numbers that two samples of prompts
// are compared by.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "compress/prompt_sample.h"
#include "stats/two_sample.h"
#include "text/script.h"

namespace octavo::compress {

enum class CharacterClass : uint8_t { kLower, kUpper, kDigit, kPunctuation, kSpace, kLine, kOther };
inline constexpr int64_t kCharacterClasses = 7;
// "digits", as the subject of a sentence.
std::string_view CharacterClassName(CharacterClass c);

enum class PromptForm : uint8_t { kPlain, kOneMessage, kDialogue, kSystem };
inline constexpr int64_t kPromptForms = 4;
std::string_view PromptFormName(PromptForm form);

struct PromptFeatures {
  double tokens = 0;
  std::array<double, text::kScripts> scripts{};        // shares of the letters
  std::array<double, kCharacterClasses> characters{};  // shares of the bytes; kOther: not ASCII
  std::array<double, kPromptForms> form{};             // 1 or 0; kSystem beside another
  double code_share = 0;                               // of the lines
  bool contains_code = false;
};

PromptFeatures FeaturesOf(const SampledPrompt& prompt);

// Which tokens a prompt has: the unit vector of the square roots of their counts, over the distinct
// tokens of all prompts.
struct TokenProfiles {
  std::vector<text::TokenId> tokens;  // of each dimension, ascending
  std::vector<stats::SparseVector> members;
};
TokenProfiles ProfilesOf(const std::vector<const SampledPrompt*>& prompts);

}  // namespace octavo::compress
