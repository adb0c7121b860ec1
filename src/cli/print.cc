#include "cli/print.h"

#include <cstdio>

#include <fmt/format.h>

namespace octavo::cli {
namespace {

void Write(std::FILE* file, std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), file);
  std::fflush(file);
}

}  // namespace

void Print(std::string_view text) {
  Write(stdout, text);
}
void PrintJson(const core::Json& value) {
  Write(stdout, core::DumpJson(value));
}
void PrintNote(std::string_view message) {
  Write(stderr, fmt::format("octavo: {}\n", message));
}
void PrintError(const core::Error& error) {
  Write(stderr, fmt::format("octavo: error: {}\n", error.message()));
}

}  // namespace octavo::cli
