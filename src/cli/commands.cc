#include "cli/commands.h"

#include <string_view>

#include <fmt/format.h>

#include "cli/print.h"
#include "core/bytes.h"
#include "core/suggest.h"
#include "core/version.h"
#include "kernels/dispatch.h"

// One line a command, in the order of the help.
#define OCTAVO_COMMANDS(X) \
  X(Run)                   \
  X(Pull)                  \
  X(Calibrate)             \
  X(Sensitivity)           \
  X(Quantize)              \
  X(Export)                \
  X(Eval)                  \
  X(Gate)                  \
  X(Promote)               \
  X(Rollback)              \
  X(History)               \
  X(Show)                  \
  X(Serve)                 \
  X(Generate)              \
  X(Logits)                \
  X(Bench)                 \
  X(Doctor)

namespace octavo::cli {

#define OCTAVO_DECLARE(name) Command name##Command();
OCTAVO_COMMANDS(OCTAVO_DECLARE)

const std::vector<Command>& AllCommands() {
#define OCTAVO_CALL(name) name##Command(),
  static const std::vector<Command> commands = {OCTAVO_COMMANDS(OCTAVO_CALL)};
  return commands;
}

std::string ProgramHelp() {
  std::string text = fmt::format(
      "octavo {}: takes a language-model checkpoint to INT8, and proves on the way that it is "
      "still "
      "good,\nstill fast, and really INT8.\n\nUsage: octavo COMMAND [ARGUMENTS]\n\nCommands:\n",
      core::kVersion);
  for (const Command& command : AllCommands()) {
    text += fmt::format("  {:<10} {}\n", command.name, command.summary);
  }
  text +=
      "\nOptions:\n"
      "  -h, --help      this text; `octavo COMMAND --help` tells about one command\n"
      "  --version       the version\n"
      "\nThe whole path in one command: `octavo run octavo.toml`.\n"
      "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 gate not passed, 4 not enough data to "
      "decide.\n";
  return text;
}

namespace {

Exit UsageFailure(std::string_view command, const core::Error& error) {
  PrintError(error);
  PrintNote(fmt::format("try `octavo {}{}--help`", command, command.empty() ? "" : " "));
  return Exit::kUsage;
}

core::Error UnknownCommand(std::string_view name) {
  std::vector<std::string_view> known;
  for (const Command& command : AllCommands()) known.push_back(command.name);
  return core::Usage("unknown command '" + core::Printable(name) + "'" +
                     core::DidYouMean(name, known));
}

Exit Dispatch(const Command& command, const std::vector<std::string>& arguments, Context& context) {
  Options options(command.name, command.summary, command.example);
  const Action action = command.declare(options);
  const core::Result<bool> parsed = options.Parse(arguments);
  if (!parsed.ok()) return UsageFailure(command.name, parsed.error());
  if (!parsed.value()) {
    Print(options.Help());
    return Exit::kDone;
  }
  const auto run = [&]() -> core::Result<Exit> {
    OCTAVO_RETURN_IF_ERROR(kernels::CheckIsaOverride());
    return action(context);
  };
  const core::Result<Exit> exit = run();
  context.progress.Clear();
  if (exit.ok()) return exit.value();
  if (exit.error().code() == core::ErrorCode::kInterrupted) {
    PrintNote("stopped; nothing partial is left, the same command starts or resumes the work");
    return Exit::kFailed;
  }
  if (exit.error().code() == core::ErrorCode::kUsage) {
    return UsageFailure(command.name, exit.error());
  }
  PrintError(exit.error());
  return Exit::kFailed;
}

}  // namespace

Exit RunCommandLine(const std::vector<std::string>& arguments, Context& context) {
  if (arguments.empty() || arguments[0] == "-h" || arguments[0] == "--help" ||
      arguments[0] == "help") {
    Print(ProgramHelp());
    return Exit::kDone;
  }
  if (arguments[0] == "--version") {
    Print(fmt::format("octavo {}\n", core::kVersion));
    return Exit::kDone;
  }
  for (const Command& command : AllCommands()) {
    if (command.name == arguments[0]) {
      return Dispatch(command, {arguments.begin() + 1, arguments.end()}, context);
    }
  }
  return UsageFailure("", UnknownCommand(arguments[0]));
}

}  // namespace octavo::cli
