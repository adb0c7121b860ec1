// The program: signals, one guard around everything, the exit code.
#include <csignal>
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "cli/print.h"
#include "cli/terminal_progress.h"

namespace {

octavo::core::CancelToken g_cancel;

// The first Ctrl-C asks for a clean stop; a second one, when something hangs, ends the program.
void OnInterrupt(int signal) {
  if (g_cancel.cancelled()) {
    std::signal(signal, SIG_DFL);
    std::raise(signal);
  }
  g_cancel.Cancel();
}

void InstallSignals() {
  // A closed pipe and a file-size limit come back from write() as errors that can be told.
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
  std::signal(SIGINT, OnInterrupt);
  std::signal(SIGTERM, OnInterrupt);
}

}  // namespace

int main(int argc, char** argv) {
  using octavo::cli::Exit;
  InstallSignals();
  Exit exit = Exit::kFailed;
  try {
    auto progress = octavo::cli::StderrProgress();
    octavo::cli::Context context{progress, g_cancel};
    exit = octavo::cli::RunCommandLine({argv + 1, argv + argc}, context);
  } catch (const std::bad_alloc&) {
    octavo::cli::PrintError(octavo::core::Exhausted("out of memory"));
  } catch (const std::exception& error) {
    octavo::cli::PrintError(octavo::core::Invalid(std::string("internal error: ") + error.what()));
  }
  // A result that could not be written (a full disk behind a redirect) is no success.
  if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) {
    octavo::cli::PrintError(octavo::core::IoError("cannot write to standard output"));
    exit = Exit::kFailed;
  }
  return static_cast<int>(exit);
}
