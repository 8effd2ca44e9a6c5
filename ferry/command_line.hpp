#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "devices/network_choice.hpp"
#include "devices/standard.hpp"
#include "ferry/console.hpp"
#include "ferry/forecast_request.hpp"
#include "migration/base/options.hpp"
#include "migration/reuse/image_store.hpp"

namespace ferry {

/// Where a process keeps images of VMs that left.
struct ImageStoreChoice {
  std::string directory;                                    ///< none was named when empty
  std::uint64_t limit = migration::ImageStore::kUnlimited;  ///< bytes
};

struct RunCommand {
  std::string kernel;
  std::vector<std::filesystem::path> initramfs;
  std::string cmdline;
  std::uint64_t memory_bytes = 256 << 20;
  std::uint32_t cpus = 1;
  std::string name;  ///< the kernel's file name when empty
  SerialChoice serial;
  std::string api_socket;
  ImageStoreChoice images;
  bool shared_memory = false;  ///< RAM is a vmm::SharedRam
  bool overcommit = false;
  bool rng = false;
  bool balloon = false;
  bool free_page_reporting = false;
  std::vector<devices::DiskChoice> disks;
  std::vector<devices::NetworkChoice> networks;
};

struct ReceiveCommand {
  migration::Address listen;
  SerialChoice serial;
  std::string api_socket;
  std::chrono::microseconds timeout{10'000'000};
  ImageStoreChoice images;
  bool tracking = true;
  bool shared_memory = false;  ///< of a VM whose RAM comes as pages
  bool overcommit = false;
  std::vector<devices::DiskChoice> disks;
  std::vector<devices::NetworkChoice> networks;
};

struct MigrateCommand {
  std::string api_socket;
  migration::MigrateOptions options;
  bool json = false;
};

struct PredictCommand {
  std::string api_socket;
  ForecastRequest request;
  bool json = false;
};

struct SetCommand {
  std::string api_socket;
  migration::MigrateSettings settings;
  std::optional<std::uint64_t> balloon;  ///< bytes; then nothing else is set
  bool json = false;
};

struct ControlCommand {
  enum class Verb { info, pause, resume, stop, cancel };
  Verb verb = Verb::info;
  std::string api_socket;
  bool force = false;
  bool json = false;
};

struct ImagesCommand {
  std::string image_store;          ///< a directory; the default one when empty
  std::optional<std::string> drop;  ///< the id of a VM; else list them
  bool json = false;
};

/// For another program: `ferry-plan`.
struct PlanCommand {
  std::string file;
  std::string policy;              ///< the default one when empty
  std::vector<std::string> drain;  ///< hosts
  bool balance = false;
  bool apply = false;
  bool json = false;
};

using Command = std::variant<RunCommand, ReceiveCommand, MigrateCommand, PredictCommand, SetCommand,
                             ControlCommand, ImagesCommand, PlanCommand>;

/// What the user wants; empty when help or the version was asked for and has been printed.
/// Failure (usage) that says what is wrong; std::system_error when help cannot be written.
[[nodiscard]] std::optional<Command> parse_command_line(int argc, const char* const* argv);

/// Whether the command shall print JSON, for whoever reads it, also when it fails: of a line that
/// makes no sense as well.
[[nodiscard]] bool wants_json(int argc, const char* const* argv);

}  // namespace ferry
