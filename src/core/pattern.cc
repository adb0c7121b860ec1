#include "core/pattern.h"

#include <charconv>
#include <optional>
#include <string>

#include "core/bytes.h"

namespace octavo::core {
namespace {

constexpr size_t kMaxBytes = 1024;
constexpr size_t kMaxSteps = 8192;
constexpr int kMaxGroupDepth = 32;
constexpr int kMaxRepeats = 1000;

using ByteSet = std::bitset<256>;

ByteSet Range(unsigned char first, unsigned char last) {
  ByteSet set;
  for (unsigned c = first; c <= last; ++c) set.set(c);
  return set;
}

// \d, \w, \s and their opposites.
std::optional<ByteSet> NamedClass(char letter) {
  switch (letter) {
    case 'd':
      return Range('0', '9');
    case 'D':
      return ~Range('0', '9');
    case 'w':
    case 'W': {
      ByteSet set = Range('0', '9') | Range('a', 'z') | Range('A', 'Z');
      set.set('_');
      return letter == 'w' ? set : ~set;
    }
    case 's':
    case 'S': {
      ByteSet set = Range('\t', '\r');
      set.set(' ');
      return letter == 's' ? set : ~set;
    }
    default:
      return std::nullopt;
  }
}

bool IsLetterOrDigit(char c) {
  return NamedClass('w')->test(static_cast<unsigned char>(c)) && c != '_';
}

}  // namespace

// Recursive descent: each function reads one construct and returns its program.
class PatternParser {
 public:
  explicit PatternParser(std::string_view text) : text_(text) {}

  Result<Pattern> Parse() {
    if (text_.size() > kMaxBytes) return Refuse("is longer than 1024 bytes");
    OCTAVO_TRY(out_.steps_, Alternatives(0));
    if (!AtEnd()) return Refuse("has a ')' without '('");
    return std::move(out_);
  }

 private:
  using Program = std::vector<Pattern::Step>;
  using Kind = Pattern::Kind;

  bool AtEnd() const { return at_ == text_.size(); }
  bool Take(std::string_view wanted) {
    if (text_.substr(at_, wanted.size()) != wanted) return false;
    at_ += wanted.size();
    return true;
  }
  Error Refuse(const std::string& what) const {
    return Unsupported("pattern '" + Printable(text_) + "' " + what);
  }

  Result<Program> Alternatives(int depth) {
    if (depth > kMaxGroupDepth) return Refuse("has groups nested more than 32 deep");
    std::vector<Program> choices;
    do {
      OCTAVO_TRY(Program choice, Sequence(depth));
      choices.push_back(std::move(choice));
    } while (Take("|"));
    Program all = std::move(choices.back());
    for (size_t i = choices.size() - 1; i-- > 0;) {
      const Program rest = std::move(all);
      all = {{Kind::kSplit, 0, 1, Length(choices[i]) + 2}};
      OCTAVO_RETURN_IF_ERROR(Join(all, choices[i]));
      all.push_back({Kind::kJump, 0, Length(rest) + 1, 1});
      OCTAVO_RETURN_IF_ERROR(Join(all, rest));
    }
    return all;
  }

  Result<Program> Sequence(int depth) {
    Program all;
    while (!AtEnd() && text_[at_] != '|' && text_[at_] != ')') {
      OCTAVO_TRY(const Program item, Item(depth));
      OCTAVO_TRY(const Program repeated, Repeats(item));
      OCTAVO_RETURN_IF_ERROR(Join(all, repeated));
    }
    return all;
  }

  Result<Program> Item(int depth) {
    const char c = text_[at_++];
    if (c == '^') return Program{{Kind::kBegin, 0, 1, 1}};
    if (c == '$') return Program{{Kind::kEnd, 0, 1, 1}};
    if (c == '.') return OneOf(~Range('\n', '\n'));
    if (c == '[') return Class();
    if (c == '*' || c == '+' || c == '?') return Refuse("repeats nothing");
    if (c == '(') {
      if (!Take("?:") && Take("?")) return Refuse("has a group of the form '(?', other than '(?:'");
      OCTAVO_TRY(Program inner, Alternatives(depth + 1));
      if (!Take(")")) return Refuse("has a '(' without ')'");
      return inner;
    }
    if (c != '\\')
      return OneOf(Range(static_cast<unsigned char>(c), static_cast<unsigned char>(c)));
    OCTAVO_TRY(const ByteSet set, Escape());
    return OneOf(set);
  }

  // What stands behind a backslash.
  Result<ByteSet> Escape() {
    if (AtEnd()) return Refuse("ends in a backslash");
    const char c = text_[at_++];
    if (const auto named = NamedClass(c)) return *named;
    if (IsLetterOrDigit(c))
      return Refuse(std::string("has '\\") + c + "', which octavo does not read");
    return Range(static_cast<unsigned char>(c), static_cast<unsigned char>(c));
  }

  Result<Program> Class() {
    const bool negated = Take("^");
    ByteSet set;
    for (bool first = true;; first = false) {
      if (AtEnd()) return Refuse("has a '[' without ']'");
      if (text_[at_] == ']' && !first) break;
      const auto low = static_cast<unsigned char>(text_[at_++]);
      if (low == '\\') {
        OCTAVO_TRY(const ByteSet escaped, Escape());
        set |= escaped;
        continue;
      }
      unsigned char high = low;
      if (at_ + 1 < text_.size() && text_[at_] == '-' && text_[at_ + 1] != ']') {
        high = static_cast<unsigned char>(text_[at_ + 1]);
        at_ += 2;
        if (high < low || high == '\\') return Refuse("has a range that octavo does not read");
      }
      set |= Range(low, high);
    }
    ++at_;
    return OneOf(negated ? ~set : set);
  }

  // '*', '+', '?' and "{m,n}" behind `item`; a lazy '?' behind them changes no answer.
  Result<Program> Repeats(const Program& item) {
    int least = 1;
    int most = 1;  // -1: any number
    if (Take("*")) {
      least = 0;
      most = -1;
    } else if (Take("+")) {
      most = -1;
    } else if (Take("?")) {
      least = 0;
    } else if (Take("{")) {
      OCTAVO_RETURN_IF_ERROR(Bounds(least, most));
    } else {
      return item;
    }
    Take("?");
    if (!AtEnd() && std::string_view("*+?{").find(text_[at_]) != std::string_view::npos)
      return Refuse("repeats a repetition");
    Program all;
    for (int i = 0; i < least; ++i) OCTAVO_RETURN_IF_ERROR(Join(all, item));
    if (most < 0) {
      all.push_back({Kind::kSplit, 0, 1, Length(item) + 2});
      OCTAVO_RETURN_IF_ERROR(Join(all, item));
      all.push_back({Kind::kJump, 0, -Length(item) - 1, 1});
    }
    for (int i = least; i < most; ++i) {
      all.push_back({Kind::kSplit, 0, 1, Length(item) + 1});
      OCTAVO_RETURN_IF_ERROR(Join(all, item));
    }
    return all;
  }

  Status Bounds(int& least, int& most) {
    const auto number = [&](int& value) {
      const char* begin = text_.data() + at_;
      const auto [end, error] = std::from_chars(begin, text_.data() + text_.size(), value);
      at_ += static_cast<size_t>(end - begin);
      return error == std::errc() && value >= 0 && value <= kMaxRepeats;
    };
    bool good = number(least);
    most = least;
    if (good && Take(",")) {
      most = -1;
      if (!AtEnd() && text_[at_] != '}') good = number(most) && most >= least;
    }
    if (good && Take("}")) return {};
    return Refuse("has a '{' that is no repetition of at most 1000");
  }

  Program OneOf(const ByteSet& set) {
    const auto index = static_cast<uint16_t>(out_.sets_.size());  // fewer than bytes in the text
    out_.sets_.push_back(set);
    return {{Kind::kByte, index, 1, 1}};
  }

  static int32_t Length(const Program& program) { return static_cast<int32_t>(program.size()); }
  Status Join(Program& all, const Program& more) const {
    if (all.size() + more.size() > kMaxSteps) return Refuse("has too many repetitions");
    all.insert(all.end(), more.begin(), more.end());
    return {};
  }

  std::string_view text_;
  size_t at_ = 0;
  Pattern out_;
};

Result<Pattern> Pattern::Parse(std::string_view text) {
  return PatternParser(text).Parse();
}

bool Pattern::Follow(size_t at, size_t position, size_t length, std::vector<size_t>& reached,
                     std::vector<bool>& seen) const {
  std::vector<size_t> open = {at};
  while (!open.empty()) {
    const size_t step = open.back();
    open.pop_back();
    if (step == steps_.size()) return true;
    if (seen[step]) continue;
    seen[step] = true;
    const Step& s = steps_[step];
    const auto go = [&](int32_t distance) {
      open.push_back(static_cast<size_t>(static_cast<int64_t>(step) + distance));
    };
    if (s.kind == Kind::kByte) reached.push_back(step);
    if (s.kind == Kind::kSplit) go(s.also_to);
    if (s.kind == Kind::kSplit || s.kind == Kind::kJump) go(s.to);
    if (s.kind == Kind::kBegin && position == 0) go(1);
    if (s.kind == Kind::kEnd && position == length) go(1);
  }
  return false;
}

bool Pattern::Run(std::string_view text, bool all) const {
  std::vector<size_t> now;
  std::vector<size_t> next;
  std::vector<bool> seen(steps_.size());
  bool matched = Follow(0, 0, text.size(), now, seen);
  for (size_t i = 0; i < text.size(); ++i) {
    if (matched && !all) return true;
    next.clear();
    seen.assign(steps_.size(), false);
    matched = false;
    for (const size_t step : now) {
      if (!sets_[steps_[step].set].test(static_cast<unsigned char>(text[i]))) continue;
      matched = Follow(step + 1, i + 1, text.size(), next, seen) || matched;
    }
    now.swap(next);
  }
  return matched;
}

}  // namespace octavo::core
