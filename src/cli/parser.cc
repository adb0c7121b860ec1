// CLI11 behind Options: the only file that knows it.
#include <CLI/CLI.hpp>

#include "cli/options.h"

namespace octavo::cli {
namespace {

// "  --out DIR (required)     the folder to make", help texts in one column, wrapped.
class HelpFormatter final : public CLI::Formatter {
 public:
  HelpFormatter() {
    column_width(kColumn);
    label("REQUIRED", "(required)");
  }

  std::string make_option(const CLI::Option* option, bool is_positional) const override {
    std::string head =
        "  " + (is_positional ? option->get_name(true) : option->get_name(false, true));
    if (!is_positional && !option->get_type_name().empty()) head += " " + option->get_type_name();
    std::string help = option->get_description();
    if (!is_positional && option->get_required()) help += " (required)";
    if (!option->get_default_str().empty()) help += " [" + option->get_default_str() + "]";
    const size_t padding = head.size() + 2 <= kColumn ? kColumn - head.size() : 0;
    std::string out =
        head + (padding > 0 ? std::string(padding, ' ') : "\n" + std::string(kColumn, ' '));
    size_t column = kColumn;
    for (size_t start = 0; start < help.size();) {
      size_t end = std::min(help.find(' ', start), help.size());
      if (column + (end - start) >= kWidth) {
        out += "\n" + std::string(kColumn, ' ');
        column = kColumn;
      }
      out.append(help, start, end - start);
      column += end - start;
      if (end < help.size()) out += ' ', ++column;
      start = end + 1;
    }
    return out + "\n";
  }

 private:
  static constexpr size_t kColumn = 28;
  static constexpr size_t kWidth = 100;
};

}  // namespace

struct Options::State {
  CLI::App app;

  template <typename T>
  CLI::Option* Add(std::string_view name, std::string_view value, T& variable,
                   std::string_view help) {
    return app.add_option(std::string(name), variable, std::string(help))
        ->type_name(std::string(value));
  }
};

Options::Options(std::string_view command, std::string_view summary, std::string_view example)
    : state_(std::make_unique<State>()) {
  CLI::App& app = state_->app;
  app.name("octavo " + std::string(command));
  app.description(std::string(summary));
  app.footer("Example:\n  " + std::string(example));
  app.set_help_flag("-h,--help", "this text");
  app.formatter(std::make_shared<HelpFormatter>());
}
Options::~Options() = default;

void Options::Positional(std::string_view name, std::string& variable, std::string_view help) {
  state_->Add(name, name, variable, help)->required();
}
void Options::OptionalPositional(std::string_view name, std::string_view option,
                                 std::string& variable, std::string_view help) {
  state_->Add(std::string(option) + "," + std::string(name), name, variable, help);
}
void Options::Required(std::string_view option, std::string_view value, std::string& variable,
                       std::string_view help) {
  state_->Add(option, value, variable, help)->required();
}
void Options::Value(std::string_view option, std::string_view value, std::string& variable,
                    std::string_view help) {
  state_->Add(option, value, variable, help)->capture_default_str();
}
void Options::Value(std::string_view option, std::string_view value,
                    std::optional<std::string>& variable, std::string_view help) {
  state_->Add(option, value, variable, help);
}
void Options::Value(std::string_view option, std::string_view value, int64_t& variable,
                    std::string_view help) {
  state_->Add(option, value, variable, help)->capture_default_str();
}
void Options::Value(std::string_view option, std::string_view value, double& variable,
                    std::string_view help) {
  state_->Add(option, value, variable, help)->capture_default_str();
}
void Options::Values(std::string_view option, std::string_view value,
                     std::vector<std::string>& variable, std::string_view help) {
  state_->Add(option, value, variable, help)
      ->delimiter(',')
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
}
void Options::Choice(std::string_view option, const std::vector<std::string>& choices,
                     std::string& variable, std::string_view help) {
  std::string value;
  for (const std::string& choice : choices) value += (value.empty() ? "" : "|") + choice;
  state_->Add(option, value, variable, help)
      ->capture_default_str()
      ->check([choices, value](const std::string& given) {
        const bool known = std::find(choices.begin(), choices.end(), given) != choices.end();
        return known ? std::string() : "'" + given + "' is not one of " + value;
      });
}
void Options::Flag(std::string_view option, bool& variable, std::string_view help) {
  state_->app.add_flag(std::string(option), variable, std::string(help));
}

core::Result<bool> Options::Parse(const std::vector<std::string>& arguments) {
  try {
    state_->app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
    return true;
  } catch (const CLI::CallForHelp&) {
    return false;
  } catch (const CLI::ExtrasError&) {
    return core::Usage("unknown argument '" + state_->app.remaining().front() + "'");
  } catch (const CLI::Error& error) {
    return core::Usage(error.what());
  }
}

std::string Options::Help() const {
  return state_->app.help();
}

}  // namespace octavo::cli
