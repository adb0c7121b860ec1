#include "compress/prompt_features.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "text/code_share.h"

namespace octavo::compress {
namespace {

CharacterClass ClassOf(char c) {
  const auto byte = static_cast<uint8_t>(c);
  if (byte >= 0x80) return CharacterClass::kOther;
  if (c >= 'a' && c <= 'z') return CharacterClass::kLower;
  if (c >= 'A' && c <= 'Z') return CharacterClass::kUpper;
  if (c >= '0' && c <= '9') return CharacterClass::kDigit;
  if (c == '\n' || c == '\r') return CharacterClass::kLine;
  if (c == ' ' || c == '\t') return CharacterClass::kSpace;
  return CharacterClass::kPunctuation;
}

// Counts as shares of their sum; all 0 where there is nothing to count.
template <typename Counts, size_t kSize>
void ToShares(const Counts& counts, std::array<double, kSize>& shares) {
  const auto sum = std::accumulate(counts.begin(), counts.end(), int64_t{0});
  if (sum == 0) return;
  for (size_t i = 0; i < kSize; ++i)
    shares[i] = static_cast<double>(counts[i]) / static_cast<double>(sum);
}

stats::SparseVector ProfileOf(std::vector<text::TokenId> ids,
                              const std::vector<text::TokenId>& tokens) {
  stats::SparseVector out;
  const double norm = std::sqrt(static_cast<double>(std::max<size_t>(ids.size(), 1)));
  std::sort(ids.begin(), ids.end());
  for (auto at = ids.begin(); at != ids.end();) {
    const auto next = std::upper_bound(at, ids.end(), *at);
    const auto dimension = std::lower_bound(tokens.begin(), tokens.end(), *at) - tokens.begin();
    out.index.push_back(static_cast<int32_t>(dimension));
    out.value.push_back(static_cast<float>(std::sqrt(static_cast<double>(next - at)) / norm));
    at = next;
  }
  return out;
}

}  // namespace

std::string_view CharacterClassName(CharacterClass c) {
  constexpr std::string_view kNames[kCharacterClasses] = {
      "lower-case letters", "capital letters",         "digits", "punctuation marks", "spaces",
      "line breaks",        "characters outside ASCII"};
  return kNames[static_cast<size_t>(c)];
}

std::string_view PromptFormName(PromptForm form) {
  constexpr std::string_view kNames[kPromptForms] = {"are plain text", "are a chat of one message",
                                                     "are a chat of several messages",
                                                     "have a system message"};
  return kNames[static_cast<size_t>(form)];
}

PromptFeatures FeaturesOf(const SampledPrompt& prompt) {
  PromptFeatures out;
  out.tokens = static_cast<double>(prompt.ids.size());
  ToShares(text::CountScripts(prompt.written), out.scripts);
  std::array<int64_t, kCharacterClasses> classes{};
  for (const char c : prompt.written) ++classes[static_cast<size_t>(ClassOf(c))];
  ToShares(classes, out.characters);
  const int64_t messages = prompt.messages - (prompt.system ? 1 : 0);
  PromptForm form = PromptForm::kPlain;
  if (prompt.messages > 0) form = messages > 1 ? PromptForm::kDialogue : PromptForm::kOneMessage;
  out.form[static_cast<size_t>(form)] = 1;
  if (prompt.system) out.form[static_cast<size_t>(PromptForm::kSystem)] = 1;
  out.code_share = text::CodeShare(prompt.written);
  out.contains_code = text::ContainsCode(prompt.written);
  return out;
}

TokenProfiles ProfilesOf(const std::vector<const SampledPrompt*>& prompts) {
  TokenProfiles out;
  for (const SampledPrompt* prompt : prompts)
    out.tokens.insert(out.tokens.end(), prompt->ids.begin(), prompt->ids.end());
  std::sort(out.tokens.begin(), out.tokens.end());
  out.tokens.erase(std::unique(out.tokens.begin(), out.tokens.end()), out.tokens.end());
  for (const SampledPrompt* prompt : prompts)
    out.members.push_back(ProfileOf(prompt->ids, out.tokens));
  return out;
}

}  // namespace octavo::compress
