#include "cli/table.h"

#include <algorithm>
#include <array>

#include "core/check.h"

namespace octavo::cli {
namespace {

struct Range {
  char32_t first;
  char32_t last;
};
// Of Unicode's East Asian Width W and F and of the combining marks, the blocks that occur in names.
constexpr std::array<Range, 9> kWide = {{{0x1100, 0x115F},
                                         {0x2E80, 0x303E},
                                         {0x3041, 0xA4CF},
                                         {0xAC00, 0xD7A3},
                                         {0xF900, 0xFAFF},
                                         {0xFE30, 0xFE6F},
                                         {0xFF00, 0xFF60},
                                         {0x1F300, 0x1FAFF},
                                         {0x20000, 0x3FFFD}}};
constexpr std::array<Range, 7> kCombining = {{{0x0300, 0x036F},
                                              {0x0483, 0x0489},
                                              {0x0591, 0x05BD},
                                              {0x064B, 0x065F},
                                              {0x200B, 0x200F},
                                              {0x20D0, 0x20FF},
                                              {0xFE00, 0xFE0F}}};

template <size_t N>
bool In(const std::array<Range, N>& ranges, char32_t c) {
  return std::any_of(ranges.begin(), ranges.end(),
                     [c](const Range& range) { return c >= range.first && c <= range.last; });
}

// The code point that starts at text[at], and moves `at` past it; an invalid byte stands for
// itself.
char32_t NextCodePoint(std::string_view text, size_t& at) {
  const auto first = static_cast<unsigned char>(text[at++]);
  const int extra = first >= 0xF0 ? 3 : first >= 0xE0 ? 2 : first >= 0xC0 ? 1 : 0;
  char32_t code = extra == 0 ? first : first & (0x3FU >> extra);
  for (int i = 0; i < extra && at < text.size(); ++i) {
    const auto next = static_cast<unsigned char>(text[at]);
    if ((next & 0xC0U) != 0x80U) break;
    code = (code << 6) | (next & 0x3FU);
    ++at;
  }
  return code;
}

// "12", "-0.5", "1.004x", "61.2%", "3.4 tokens/s", but no date and no digest.
bool IsNumber(std::string_view cell) {
  const size_t end = cell.find_first_not_of("+-.0123456789");
  if (end == 0 || cell.empty()) return false;
  if (end == std::string_view::npos) return true;
  return cell[end] == ' ' || (end + 1 == cell.size() && (cell[end] == 'x' || cell[end] == '%'));
}

}  // namespace

int64_t DisplayWidth(std::string_view text) {
  int64_t width = 0;
  for (size_t at = 0; at < text.size();) {
    const char32_t code = NextCodePoint(text, at);
    if (!In(kCombining, code)) width += In(kWide, code) ? 2 : 1;
  }
  return width;
}

void Table::Add(std::vector<std::string> cells) {
  OCTAVO_CHECK(cells.size() == rows_[0].size());
  rows_.push_back(std::move(cells));
}

std::string Table::Render() const {
  const size_t columns = rows_[0].size();
  std::vector<int64_t> widths(columns, 0);
  std::vector<bool> numeric(columns, rows_.size() > 1);
  for (size_t r = 0; r < rows_.size(); ++r) {
    for (size_t c = 0; c < columns; ++c) {
      widths[c] = std::max(widths[c], DisplayWidth(rows_[r][c]));
      if (r > 0 && !rows_[r][c].empty() && !IsNumber(rows_[r][c])) numeric[c] = false;
    }
  }
  std::string out;
  const auto line = [&](const auto& cell) {
    std::string text;
    for (size_t c = 0; c < columns; ++c) text += (c == 0 ? "" : "  ") + cell(c);
    text.erase(text.find_last_not_of(' ') + 1);
    out += text + "\n";
  };
  for (size_t r = 0; r < rows_.size(); ++r) {
    line([&](size_t c) {
      const std::string padding(static_cast<size_t>(widths[c] - DisplayWidth(rows_[r][c])), ' ');
      return numeric[c] ? padding + rows_[r][c] : rows_[r][c] + padding;
    });
    if (r == 0) line([&](size_t c) { return std::string(static_cast<size_t>(widths[c]), '-'); });
  }
  return out;
}

}  // namespace octavo::cli
