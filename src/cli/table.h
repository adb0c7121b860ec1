// Tables for people: aligned columns, whatever the alphabet.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace octavo::cli {

// Terminal columns that UTF-8 `text` takes: 0 for combining marks, 2 for wide East Asian characters
// and emoji. Control characters and invalid bytes count 1.
int64_t DisplayWidth(std::string_view text);

// Rows under a header. Columns of numbers (with a unit or without) are aligned right, the rest
// left.
class Table {
 public:
  explicit Table(std::vector<std::string> header) : rows_{std::move(header)} {}
  // One cell for each column of the header.
  void Add(std::vector<std::string> cells);
  // Two spaces between columns, a rule under the header, each line ended by a newline.
  std::string Render() const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace octavo::cli
