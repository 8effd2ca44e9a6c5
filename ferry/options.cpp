#include "ferry/options.hpp"

#include "ferry/units.hpp"
#include "vmm/machine/device_list.hpp"

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

std::string parse_device_id(std::string_view text, std::size_t most) {
  if (text.size() > most || !vmm::is_device_id(text)) {
    throw std::invalid_argument(
        fmt::format("an id is made of 1 to {} lower-case letters, digits and '-'", most));
  }
  return std::string(text);
}

namespace {

std::string disk_path(std::string_view text) {
  if (text.starts_with(devices::kNbdPrefix) &&
      text.substr(devices::kNbdPrefix.size()).find("://") == std::string_view::npos) {
    throw std::invalid_argument(
        "what follows nbd: is a URI, as in nbd:nbd://HOST/EXPORT or "
        "nbd:nbd+unix:///EXPORT?socket=PATH (a file of that name is ./nbd:...)");
  }
  return parse_path(text);
}

}  // namespace

devices::DiskChoice parse_disk(std::string_view text) {
  devices::DiskChoice disk;
  // From the end, since a path may have commas.
  for (auto comma = text.rfind(','); comma != std::string_view::npos; comma = text.rfind(',')) {
    const std::string_view word = text.substr(comma + 1);
    if (word == "readonly") {
      disk.read_only = true;
    } else if (word.starts_with(kIdWord)) {
      disk.id = parse_device_id(word.substr(kIdWord.size()), devices::kMaxDiskId);
    } else {
      break;
    }
    text = text.substr(0, comma);
  }
  disk.path = disk_path(text);
  return disk;
}

devices::DiskChoice parse_disk_place(std::string_view text) {
  const auto comma = text.find(',');
  if (!text.starts_with(kIdWord) || comma == std::string_view::npos) {
    throw std::invalid_argument(
        "needs id=NAME,PATH or id=NAME,nbd:URI: the guest's disk, and where it is here");
  }
  return {.id = parse_device_id(text.substr(kIdWord.size(), comma - kIdWord.size()),
                                devices::kMaxDiskId),
          .path = disk_path(text.substr(comma + 1))};
}

CLI::App* add_command(CLI::App& app, const char* name, const char* description,
                      const char* examples) {
  CLI::App* command = app.add_subcommand(name, description);
  command->footer(examples);
  return command;
}

}  // namespace ferry
