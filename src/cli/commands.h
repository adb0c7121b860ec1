// The list of commands, and what `octavo` itself answers.
#pragma once

#include <string>
#include <vector>

#include "cli/command.h"

namespace octavo::cli {

// All commands, in the order in which a model meets them.
const std::vector<Command>& AllCommands();

// The text of `octavo` without arguments and of `octavo --help`.
std::string ProgramHelp();

// Runs one command line (without the program's name) and returns its exit code. Errors and what
// the user asked to read are printed. Not thread-safe.
Exit RunCommandLine(const std::vector<std::string>& arguments, Context& context);

}  // namespace octavo::cli
