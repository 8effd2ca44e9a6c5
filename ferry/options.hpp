#pragma once

#include <fmt/format.h>
#include <sys/un.h>

#include <CLI/CLI.hpp>
#include <charconv>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "ferry/command_line.hpp"

namespace ferry {

// How the commands' options are described to CLI11.

/// A parser of ours as an option of CLI11, which wants failures as its own type.
template <typename Value>
CLI::Option* add(CLI::App& app, const std::string& name, Value& value,
                 std::invocable<std::string_view> auto parse, const std::string& description) {
  return app.add_option_function<std::string>(
      name,
      [&value, parse, name](const std::string& text) {
        try {
          value = parse(text);
        } catch (const std::invalid_argument& error) {
          throw CLI::ValidationError(name, error.what());
        }
      },
      description);
}

/// The same for an option that may be given several times, each time with a value.
template <typename Value>
CLI::Option* add_each(CLI::App& app, const std::string& name, std::vector<Value>& values,
                      std::invocable<std::string_view> auto parse, const std::string& description) {
  return app
      .add_option_function<std::vector<std::string>>(
          name,
          [&values, parse, name](const std::vector<std::string>& texts) {
            try {
              for (const std::string& text : texts) values.push_back(parse(text));
            } catch (const std::invalid_argument& error) {
              throw CLI::ValidationError(name, error.what());
            }
          },
          description)
      ->allow_extra_args(false);
}

/// A parser of these names.
template <typename Enum>
auto one_of(std::optional<Enum> (*from)(std::string_view), const char* wanted) {
  return [from, wanted](std::string_view text) {
    const auto found = from(text);
    if (!found) throw std::invalid_argument(fmt::format("'{}' is none of {}", text, wanted));
    return *found;
  };
}

/// A parser of numbers from `least` to `most`.
template <std::unsigned_integral Value>
auto count(Value least, Value most) {
  return [least, most](std::string_view text) {
    Value value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size() || value < least || value > most) {
      throw std::invalid_argument(
          fmt::format("'{}' is not a number from {} to {}", text, least, most));
    }
    return value;
  };
}

inline constexpr std::size_t kMaxSocketPath = sizeof(sockaddr_un::sun_path) - 1;

// Parsers too: std::invalid_argument says what is wrong.
[[nodiscard]] std::chrono::milliseconds parse_timeout(std::string_view text);
[[nodiscard]] std::string parse_path(std::string_view text);
[[nodiscard]] std::string parse_socket_path(std::string_view text);

/// Begins an id, in the options of devices.
inline constexpr std::string_view kIdWord = "id=";
/// A device's id of at most so many bytes.
[[nodiscard]] std::string parse_device_id(std::string_view text, std::size_t most);
/// PATH[,readonly][,id=NAME], where PATH may be nbd:URI: an id is chosen where none is given.
[[nodiscard]] devices::DiskChoice parse_disk(std::string_view text);
/// id=NAME,PATH, likewise.
[[nodiscard]] devices::DiskChoice parse_disk_place(std::string_view text);

CLI::App* add_command(CLI::App& app, const char* name, const char* description,
                      const char* examples = "");

// Each adds a command to `app` that fills what it is given.
// vm_options.cpp
void define_run(CLI::App& app, RunCommand& run);
void define_receive(CLI::App& app, ReceiveCommand& receive);
// client_options.cpp
void define_migrate(CLI::App& app, MigrateCommand& migrate);
void define_predict(CLI::App& app, PredictCommand& predict);
void define_set(CLI::App& app, SetCommand& set);
void define_control(CLI::App& app, ControlCommand& control);
void define_images(CLI::App& app, ImagesCommand& images);
// plan_command.cpp
void define_plan(CLI::App& app, PlanCommand& plan);

}  // namespace ferry
