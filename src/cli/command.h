// What a command is: a name, words for people, its options, and what it does. A new one is a new
// file and one line in commands.cc.
#pragma once

#include <functional>
#include <memory>
#include <string_view>

#include "cli/options.h"
#include "cli/terminal_progress.h"
#include "core/progress.h"
#include "core/result.h"

namespace octavo::cli {

// Exit codes of the program, as scripts know them.
enum class Exit { kDone = 0, kFailed = 1, kUsage = 2, kGateFailed = 3, kUndecided = 4 };

// What the program gives to a running command. `progress` draws on stderr; results go to stdout.
struct Context {
  TerminalProgress& progress;
  const core::CancelToken& cancel;
};

using Action = std::function<core::Result<Exit>(Context&)>;

struct Command {
  std::string_view name;
  std::string_view summary;  // one line, starts with a verb
  std::string_view example;  // a command line that works as it stands, given the files it names
  // Declares the options and gives what runs when they have been read.
  std::function<Action(Options&)> declare;
};

// A command whose options live in one struct, `Arguments`.
template <typename Arguments>
Command MakeCommand(std::string_view name, std::string_view summary, std::string_view example,
                    void (*declare)(Options&, Arguments&),
                    core::Result<Exit> (*run)(const Arguments&, Context&)) {
  return {name, summary, example, [declare, run](Options& options) -> Action {
            auto arguments = std::make_shared<Arguments>();
            declare(options, *arguments);
            return [arguments, run](Context& context) { return run(*arguments, context); };
          }};
}

}  // namespace octavo::cli
