// The one door to stdout and stderr.
#pragma once

#include <string_view>

#include "core/json.h"
#include "core/result.h"

namespace octavo::cli {

// A result, on stdout, as it is.
void Print(std::string_view text);
// A JSON document, on stdout.
void PrintJson(const core::Json& value);
// "octavo: MESSAGE" on stderr.
void PrintNote(std::string_view message);
// "octavo: error: MESSAGE" on stderr.
void PrintError(const core::Error& error);

}  // namespace octavo::cli
