#include "text/code_share.h"

#include <algorithm>
#include <cstdint>
#include <initializer_list>

namespace octavo::text {
namespace {

constexpr int64_t kLinesOfCode = 3;

bool StartsWithAny(std::string_view line, std::initializer_list<std::string_view> starts) {
  return std::any_of(starts.begin(), starts.end(), [&](std::string_view start) {
    return line.compare(0, start.size(), start) == 0;
  });
}

bool ContainsAny(std::string_view line, std::initializer_list<std::string_view> pieces) {
  return std::any_of(pieces.begin(), pieces.end(), [&](std::string_view piece) {
    return line.find(piece) != std::string_view::npos;
  });
}

bool IsIdentifier(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

// name(, name[ or name.name( : a call or an index, which prose writes with a space if at all.
bool HasCall(std::string_view line) {
  for (size_t i = 1; i < line.size(); ++i) {
    if ((line[i] == '(' || line[i] == '[') && IsIdentifier(line[i - 1])) return true;
  }
  return false;
}

bool LooksLikeCode(std::string_view line) {
  // Statements, blocks and their ends.
  if (line.back() == ';' &&
      (HasCall(line) ||
       ContainsAny(line, {" = ", "return", "++", "--", "::", "->", "using ", "break", "const "})))
    return true;
  if (line.back() == '{' || line == "}" || line == "};" || line == "});" || line == ")" ||
      line == "]" || line == "]," || line == "}," || line == "else:" || line == "try:")
    return true;
  if (StartsWithAny(line, {"#include", "#define", "#ifdef", "#ifndef", "#endif", "#pragma", "#!/",
                           "// ", "/* ", "@Override", "<?php", "<html", "<div", "</"}))
    return true;
  // Keywords that open a line and a shape that goes with them.
  const bool colon = line.back() == ':';
  if (colon &&
      StartsWithAny(line, {"def ", "class ", "if ", "elif ", "for ", "while ", "with ", "except",
                           "async def "}) &&
      (HasCall(line) || ContainsAny(line, {" in ", "==", "!=", " not ", " as ", "class "})))
    return true;
  if (StartsWithAny(line, {"import ", "from "}) && line.find(' ') == line.rfind(' ') &&
      line.back() != '.')
    return true;
  if (StartsWithAny(line, {"from "}) && ContainsAny(line, {" import "})) return true;
  if (StartsWithAny(line, {"function ", "func ", "fn ", "public ", "private ", "static ", "const ",
                           "let ", "var ", "namespace ", "template <", "struct ", "return "}) &&
      (HasCall(line) || ContainsAny(line, {"=", "{", ";"})))
    return true;
  if (StartsWithAny(line, {"SELECT ", "INSERT INTO ", "UPDATE ", "CREATE TABLE ", "$ "}))
    return true;
  // Assignments and operators that no prose has.
  if (ContainsAny(line, {" == ", " != ", " += ", " && ", " || ", "->", "::", " => ", " := ", "();",
                         "()", "= [", "= {", "= \""}))
    return true;
  const size_t equals = line.find(" = ");
  return equals != std::string_view::npos && equals > 0 && HasCall(line) &&
         (IsIdentifier(line[equals - 1]) || line[equals - 1] == ']') && line.find(' ') == equals;
}

struct Lines {
  int64_t all = 0;
  int64_t code = 0;
  bool fence = false;
};

Lines CountLines(std::string_view text) {
  Lines lines;
  bool fenced = false;
  while (!text.empty()) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    const size_t begin = line.find_first_not_of(" \t\r");
    if (begin == std::string_view::npos) continue;
    line = line.substr(begin, line.find_last_not_of(" \t\r") - begin + 1);
    if (StartsWithAny(line, {"```", "~~~"})) {
      fenced = !fenced;
      lines.fence = true;
      continue;
    }
    ++lines.all;
    if (fenced || LooksLikeCode(line)) ++lines.code;
  }
  return lines;
}

}  // namespace

double CodeShare(std::string_view text) {
  const Lines lines = CountLines(text);
  return lines.all > 0 ? static_cast<double>(lines.code) / static_cast<double>(lines.all) : 0;
}

bool ContainsCode(std::string_view text) {
  const Lines lines = CountLines(text);
  return (lines.fence && lines.code > 0) || lines.code >= kLinesOfCode ||
         (lines.all > 0 && lines.code == lines.all && lines.code >= 2);
}

}  // namespace octavo::text
