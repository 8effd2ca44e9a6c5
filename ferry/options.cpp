#include "ferry/options.hpp"

#include "ferry/units.hpp"

namespace ferry {

std::chrono::milliseconds parse_timeout(std::string_view text) {
  const auto timeout = std::chrono::duration_cast<std::chrono::milliseconds>(parse_duration(text));
  if (timeout < std::chrono::milliseconds(10)) throw std::invalid_argument("at least 10ms");
  return timeout;
}

std::string parse_path(std::string_view text) {
  if (text.empty()) throw std::invalid_argument("the path is empty");
  return std::string(text);
}

std::string parse_socket_path(std::string_view text) {
  if (text.size() > kMaxSocketPath) {
    throw std::invalid_argument(
        fmt::format("the path has {} bytes and a socket's may have {}: choose a shorter one",
                    text.size(), kMaxSocketPath));
  }
  return parse_path(text);
}

CLI::App* add_command(CLI::App& app, const char* name, const char* description,
                      const char* examples) {
  CLI::App* command = app.add_subcommand(name, description);
  command->footer(examples);
  return command;
}

}  // namespace ferry
