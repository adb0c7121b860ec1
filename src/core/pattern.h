// Patterns that pick modules by name: the part of Python's `re` that checkpoints and command lines
// use, matched in time linear in the name, so that no pattern from a stranger can hang the program.
#pragma once

#include <bitset>
#include <cstdint>
#include <string_view>
#include <vector>

#include "core/result.h"

namespace octavo::core {

// Literals, '.', classes ([a-z], [^0-9], \d \w \s and their opposites), groups (also "(?:"), '|',
// '*', '+', '?', "{m,n}", '^' and '$'.  Bytes, not characters, are matched.  Immutable, safe from
// many threads.  Thompson, "Regular expression search algorithm", 1968.
class Pattern {
 public:
  // What is not in the list above (look-around, back references, flags, \b) is refused by name; a
  // pattern has at most 1024 bytes and 8192 steps, groups at most 32 levels.
  static Result<Pattern> Parse(std::string_view text);

  // As re.match: whether some start of `text` matches.
  bool MatchesStart(std::string_view text) const { return Run(text, false); }
  // As re.fullmatch: whether all of it does.
  bool MatchesAll(std::string_view text) const { return Run(text, true); }

 private:
  friend class PatternParser;
  enum class Kind : uint8_t { kByte, kSplit, kJump, kBegin, kEnd };
  // Where to go on is said as a distance, so that pieces of a program can be joined and repeated.
  struct Step {
    Kind kind = Kind::kByte;
    uint16_t set = 0;     // kByte: index into sets_
    int32_t to = 1;       // kSplit, kJump
    int32_t also_to = 1;  // kSplit
  };
  using ByteSet = std::bitset<256>;

  bool Run(std::string_view text, bool all) const;
  // Adds `at` and whatever follows from it without a byte; true if the end of the program does.
  bool Follow(size_t at, size_t position, size_t length, std::vector<size_t>& reached,
              std::vector<bool>& seen) const;

  std::vector<Step> steps_;
  std::vector<ByteSet> sets_;
};

}  // namespace octavo::core
