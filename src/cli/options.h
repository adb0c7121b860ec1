// How a command describes its arguments. Values are bound to variables, which are set when the
// command line has been read; their values before that are the defaults and are shown in the help.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"

namespace octavo::cli {

// One command's arguments. The bound variables must outlive it. A name that is declared twice is a
// bug. `option` is spelled with its dashes ("--out"); `value` is what the help calls the value
// ("DIR").
class Options {
 public:
  Options(std::string_view command, std::string_view summary, std::string_view example);
  ~Options();
  Options(const Options&) = delete;
  Options& operator=(const Options&) = delete;

  void Positional(std::string_view name, std::string& variable, std::string_view help);
  // May be left out, and may also be given as an option ("--channel").
  void OptionalPositional(std::string_view name, std::string_view option, std::string& variable,
                          std::string_view help);
  void Required(std::string_view option, std::string_view value, std::string& variable,
                std::string_view help);
  void Value(std::string_view option, std::string_view value, std::string& variable,
             std::string_view help);
  void Value(std::string_view option, std::string_view value, std::optional<std::string>& variable,
             std::string_view help);
  void Value(std::string_view option, std::string_view value, int64_t& variable,
             std::string_view help);
  void Value(std::string_view option, std::string_view value, double& variable,
             std::string_view help);
  // May be given several times, or once with several values separated by commas.
  void Values(std::string_view option, std::string_view value, std::vector<std::string>& variable,
              std::string_view help);
  // Only these values are taken.
  void Choice(std::string_view option, const std::vector<std::string>& choices,
              std::string& variable, std::string_view help);
  void Flag(std::string_view option, bool& variable, std::string_view help);

  // Reads the arguments that follow the command's name. True: they are all there and the variables
  // are set. False: the user asked for help. A Usage error says what is wrong.
  core::Result<bool> Parse(const std::vector<std::string>& arguments);
  std::string Help() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace octavo::cli
