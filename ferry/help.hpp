#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "ferry/exit_status.hpp"

namespace ferry {

/// Help in lines that fit a terminal of 80 columns.
class HelpFormat final : public CLI::Formatter {
 public:
  static constexpr std::size_t kColumns = 80;

  std::string make_option(const CLI::Option* option, bool is_positional) const override;
  std::string make_option_name(const CLI::Option* option, bool is_positional) const override;
  std::string make_subcommand(const CLI::App* command) const override;

 private:
  [[nodiscard]] std::string entry(const std::string& name, std::string_view description) const;
};

/// What `ferry help RUN` prints, for the words of a command. Failure (usage) when there is none.
[[nodiscard]] std::string help_on(CLI::App& app, const std::vector<std::string>& words);

/// What was wrong with the command line, and whose help says what is right.
[[nodiscard]] Failure usage_failure(const CLI::App& app, int argc, const char* const* argv,
                                    const CLI::ParseError& error);

}  // namespace ferry
