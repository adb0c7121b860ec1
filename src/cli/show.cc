// octavo show: everything the registry knows about a channel or an artifact, or what a calibration
// folder holds.
#include <fmt/format.h>

#include "cli/calibration_table.h"
#include "cli/command.h"
#include "cli/evaluation_tables.h"
#include "cli/print.h"
#include "cli/table.h"
#include "core/file.h"
#include "registry/registry.h"

namespace octavo::cli {
namespace {

struct Arguments {
  std::string name;
  bool json = false;
};

void Declare(Options& options, Arguments& a) {
  options.OptionalPositional(
      "NAME", "--channel", a.name,
      "a channel, the first 8 digits or more of an artifact's digest, or a calibration folder; all "
      "channels if not given");
  options.Flag("--json", a.json, "print it as JSON");
}

core::Result<Exit> ShowChannels(registry::Registry& store, bool json) {
  OCTAVO_TRY(const std::vector<registry::Channel> channels, store.Channels());
  core::Json list = core::Json::array();
  Table table({"channel", "serves", "since", "folder"});
  for (const registry::Channel& channel : channels) {
    list.push_back(registry::ToJson(channel));
    table.Add({channel.name, channel.digest.substr(0, 12), channel.since, channel.path});
  }
  if (json) {
    PrintJson(list);
  } else {
    Print(channels.empty() ? "no channels: nothing has been promoted\n" : table.Render());
  }
  return Exit::kDone;
}

core::Result<Exit> ShowCalibration(const std::string& folder, bool json) {
  OCTAVO_TRY(const compress::Calibration calibration, compress::ReadCalibration(folder, true));
  if (json) {
    PrintJson(calibration.summary);
  } else {
    Print(CalibrationTable(calibration));
  }
  return Exit::kDone;
}

core::Result<Exit> Run(const Arguments& a, Context&) {
  if (core::FileExists(core::JoinPath(a.name, compress::kCalibrationName)))
    return ShowCalibration(a.name, a.json);
  OCTAVO_TRY(const std::string home, registry::DefaultHome());
  OCTAVO_TRY(registry::Registry store, registry::Registry::Open(home));
  if (a.name.empty()) return ShowChannels(store, a.json);
  OCTAVO_TRY(const core::Json document, store.Show(a.name));
  if (a.json) {
    PrintJson(document);
    return Exit::kDone;
  }
  for (const auto& [key, value] : document.items()) {
    if (value.is_string()) Print(fmt::format("{:<12} {}\n", key, value.get<std::string>()));
  }
  const core::Json* evaluation = core::Find(document, "evaluation");
  if (evaluation != nullptr) Print("\n" + EvaluationTable(*evaluation));
  return Exit::kDone;
}

}  // namespace

Command ShowCommand() {
  return MakeCommand<Arguments>("show", "Shows channels, or one artifact with its evidence",
                                "octavo show production", Declare, Run);
}

}  // namespace octavo::cli
