#include "ferry/help.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace ferry {

std::string HelpFormat::make_option(const CLI::Option* option, bool is_positional) const {
  return entry(make_option_name(option, is_positional) + make_option_opts(option),
               option->get_description());
}

/// A flag that stands for false is no business of who reads the help.
std::string HelpFormat::make_option_name(const CLI::Option* option, bool is_positional) const {
  const std::string name = CLI::Formatter::make_option_name(option, is_positional);
  return name.substr(0, name.find('{'));
}

std::string HelpFormat::make_subcommand(const CLI::App* command) const {
  return entry(command->get_name(), command->get_description());
}

/// The name, and beside it the description, broken between words.
std::string HelpFormat::entry(const std::string& name, std::string_view description) const {
  const std::size_t indent = get_column_width();
  const std::size_t width = kColumns - indent;
  std::string text = fmt::format("  {}", name);
  text += text.size() < indent ? std::string(indent - text.size(), ' ')
                               : '\n' + std::string(indent, ' ');
  while (description.size() > width) {
    const std::size_t space = description.rfind(' ', width);
    const std::size_t end = space == std::string_view::npos ? width : space;
    text += description.substr(0, end);
    text += '\n' + std::string(indent, ' ');
    description.remove_prefix(std::min(description.size(), end + (space == end ? 1 : 0)));
  }
  return text.append(description) + '\n';
}

std::string help_on(CLI::App& app, const std::vector<std::string>& words) {
  const CLI::App* command = &app;
  std::string path = app.get_name();
  for (const std::string& word : words) {
    const auto below = command->get_subcommands(
        [&word](const CLI::App* candidate) { return candidate->get_name() == word; });
    if (below.empty()) {
      throw Failure(ExitStatus::usage,
                    fmt::format("there is no command '{}'\nTry 'ferry --help'.", word));
    }
    command = below.front();
    path += ' ' + command->get_name();
  }
  // The formatter itself: App::help() is that of the command that was chosen, this one.
  return app.get_formatter()->make_help(command, path, CLI::AppFormatMode::Normal);
}

namespace {

/// CLI11's own words where they say it, ours where they do not.
std::string in_words(const CLI::ParseError& error) {
  std::string text = error.what();
  const std::string name = text.substr(0, text.find(':'));
  if (dynamic_cast<const CLI::ArgumentMismatch*>(&error) == nullptr) return text;
  const bool many = text.find("received") != std::string::npos;
  return name + (many ? " can be given once" : " needs a value");
}

}  // namespace

Failure usage_failure(const CLI::App& app, int argc, const char* const* argv,
                      const CLI::ParseError& error) {
  const CLI::App* command = &app;
  std::string path = "ferry";
  while (!command->get_subcommands().empty()) {
    command = command->get_subcommands().front();
    path += ' ' + command->get_name();
  }
  const bool required = dynamic_cast<const CLI::RequiredError*>(&error) != nullptr;
  std::string message = required && command == &app ? "a command is missing" : in_words(error);
  const std::string_view first = argc > 1 ? argv[1] : "";
  if (command == &app && !first.empty() && !first.starts_with('-')) {
    message = fmt::format("there is no command '{}'", first);
  } else if (const auto unknown = command->remaining(); required && !unknown.empty()) {
    // It may well be what is missing, misspelt.
    message = fmt::format("'{}' is unknown here, and {}", unknown.front(), message);
  }
  return {ExitStatus::usage, fmt::format("{}\nTry '{} --help'.", message, path)};
}

}  // namespace ferry
