#include "core/suggest.h"

#include <algorithm>
#include <vector>

#include <fmt/format.h>

namespace octavo::core {
namespace {

// Levenshtein distance: insertions, deletions and substitutions from `a` to `b`.
size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t above = row[j];
      row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1)});
      diagonal = above;
    }
  }
  return row.back();
}

}  // namespace

std::string DidYouMean(std::string_view name, std::span<const std::string_view> known) {
  // A name far longer than any known one has no near neighbour, and comparing it would take long.
  constexpr size_t kLongest = 256;
  if (name.size() > kLongest) return {};
  std::string_view nearest;
  size_t best = std::max<size_t>(name.size() / 2, 1) + 1;
  for (const std::string_view candidate : known) {
    const size_t distance = candidate.size() > kLongest ? best : EditDistance(name, candidate);
    if (distance >= best) continue;
    best = distance;
    nearest = candidate;
  }
  return nearest.empty() ? std::string() : fmt::format("; did you mean '{}'?", nearest);
}

}  // namespace octavo::core
