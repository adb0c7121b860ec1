#include "hub/sentencepiece.h"

#include <algorithm>
#include <tuple>

#include <fmt/format.h>

#include "core/bytes.h"

namespace octavo::hub {
namespace {

using core::Json;

constexpr uint64_t kMaxSteps = uint64_t{1} << 30;

struct Merge {
  double score;
  int64_t left_chars;
  int64_t right_chars;
  int64_t piece;  // ids, which decide between equals
  int64_t left;
  int64_t right;
};

bool Before(const Merge& a, const Merge& b) {
  return std::tuple(-a.score, -a.left_chars, -a.right_chars, a.piece, a.left, a.right) <
         std::tuple(-b.score, -b.left_chars, -b.right_chars, b.piece, b.left, b.right);
}

bool BeginsCharacter(char c) {
  return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U;
}

int64_t Characters(std::string_view text) {
  return std::count_if(text.begin(), text.end(), BeginsCharacter);
}

Json Replace(std::string_view from, std::string_view to) {
  return {{"type", "Replace"}, {"pattern", {{"String", from}}}, {"content", to}};
}

}  // namespace

core::Result<Json> MergesFromScores(const std::vector<std::string>& tokens,
                                    const std::vector<double>& scores,
                                    const std::vector<bool>& mergeable,
                                    const std::unordered_map<std::string_view, int64_t>& ids) {
  uint64_t steps = 0;
  for (const std::string& token : tokens) {
    const auto squared = core::CheckedMul(uint64_t{token.size()}, uint64_t{token.size()});
    steps =
        std::min(kMaxSteps + 1, steps + std::min(kMaxSteps + 1, squared.value_or(kMaxSteps + 1)));
  }
  if (steps > kMaxSteps)
    return core::Exhausted("the vocabulary's pieces are longer than those of any tokenizer");
  std::vector<Merge> merges;
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (!mergeable[i]) continue;
    const std::string_view piece = tokens[i];
    const int64_t chars = Characters(piece);
    int64_t left_chars = 0;
    for (size_t cut = 1; cut < piece.size(); ++cut) {
      if (!BeginsCharacter(piece[cut])) continue;
      ++left_chars;
      const auto left = ids.find(piece.substr(0, cut));
      const auto right = ids.find(piece.substr(cut));
      if (left == ids.end() || right == ids.end()) continue;
      if (!mergeable[static_cast<size_t>(left->second)] ||
          !mergeable[static_cast<size_t>(right->second)])
        continue;
      merges.push_back({scores[i], left_chars, chars - left_chars, static_cast<int64_t>(i),
                        left->second, right->second});
    }
  }
  std::sort(merges.begin(), merges.end(), Before);
  Json::array_t out;
  out.reserve(merges.size());
  const auto text = [&](int64_t id) -> const std::string& {
    return tokens[static_cast<size_t>(id)];
  };
  // As pairs: a piece may hold a space.
  for (const Merge& merge : merges)
    out.push_back(Json::array({text(merge.left), text(merge.right)}));
  return Json(std::move(out));
}

Json SentencePieceNormalizer(bool space_prefix) {
  Json steps = Json::array();
  if (space_prefix) steps.push_back({{"type", "Prepend"}, {"prepend", kSpaceMark}});
  steps.push_back(Replace(" ", kSpaceMark));
  return {{"type", "Sequence"}, {"normalizers", std::move(steps)}};
}

Json SentencePieceDecoder(bool space_prefix) {
  Json steps = {Replace(kSpaceMark, " "), {{"type", "ByteFallback"}}, {{"type", "Fuse"}}};
  if (space_prefix)
    steps.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  return {{"type", "Sequence"}, {"decoders", std::move(steps)}};
}

}  // namespace octavo::hub
