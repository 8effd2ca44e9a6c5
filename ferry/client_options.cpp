#include <fmt/format.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>

#include "ferry/options.hpp"
#include "ferry/units.hpp"
#include "vmm/text/json_text.hpp"
#include "vmm/text/printable.hpp"

/// The options of the commands that end by themselves.
namespace ferry {

namespace {

constexpr std::string_view kAsNeeded = "auto";

constexpr const char* kMigrateExamples =
    "Examples:\n"
    "  ferry migrate --api-socket vm.sock --to tcp:host-b:7000\n"
    "  ferry migrate --api-socket vm.sock --to tcp:host-b:7000 --max-downtime 5ms\n"
    "  ferry migrate --api-socket vm.sock --to tcp:b:7000 --max-bandwidth 1Gbit\n"
    "  ferry migrate --api-socket vm.sock --to tcp:host-b:7000 --mode post-copy\n"
    "Ctrl-C cancels: the VM goes on at the source; once it runs at the destination it\n"
    "is too late for that. Ends with 0 when the VM has moved, and with 1 when it has\n"
    "not; the message says who owns it.";

constexpr const char* kPredictExamples =
    "Examples:\n"
    "  ferry predict --api-socket vm.sock --to tcp:host-b:7000\n"
    "  ferry predict --api-socket vm.sock --max-bandwidth 1Gbit --json\n"
    "The guest is looked at for a second, while it runs on.";

constexpr const char* kImagesExamples =
    "Examples:\n"
    "  ferry images\n"
    "  ferry images drop --image-store /srv/vm 0a1b2c3d-0000-4111-8222-333344445555\n"
    "An image is the RAM that a VM left here, so that only what changed has to come\n"
    "back with it.";

/// Where to migrate to. A relative path is one from here, and not from where the VM's process is.
migration::Address parse_to(std::string_view text) {
  migration::Address to = migration::parse_destination(text);
  if (to.kind != migration::Address::Kind::unix_socket) return to;
  to.path = std::filesystem::absolute(to.path).string();
  if (to.path.size() > kMaxSocketPath) {
    throw std::invalid_argument(
        fmt::format("'{}' is {}, which has {} bytes, and a socket's path may have {}: choose a "
                    "shorter one",
                    text, to.path, to.path.size(), kMaxSocketPath));
  }
  if (!vmm::is_utf8(to.path)) {
    throw std::invalid_argument(fmt::format(
        "'{}' is not UTF-8, and cannot be told to the VM's process: choose another path", text));
  }
  return to;
}

/// Nothing for as many as are worth it.
std::optional<unsigned> parse_channels(std::string_view text) {
  if (text == kAsNeeded) return std::nullopt;
  try {
    return count(1U, migration::kMaxChannels)(text);
  } catch (const std::invalid_argument& error) {
    throw std::invalid_argument(fmt::format("{}, nor {}", error.what(), kAsNeeded));
  }
}

/// std::invalid_argument for a file that has no such parameters.
migration::forecast::Energy read_energy(std::string_view path) {
  constexpr std::size_t kMost = std::size_t{64} << 10;
  std::ifstream file{std::string(path)};
  std::string text(kMost, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(file.gcount()));
  if (text.empty()) throw std::invalid_argument(fmt::format("cannot read '{}'", path));
  try {
    return energy_from_json(vmm::parse_json(text));
  } catch (const std::invalid_argument& error) {
    throw std::invalid_argument(fmt::format("{}: {}", path, error.what()));
  }
}

void add_api(CLI::App& command, std::string& api_socket, bool& json) {
  add(command, "--api-socket", api_socket, &parse_socket_path,
      "control socket of the process with the VM")
      ->type_name("PATH")
      ->required();
  command.add_flag("--json", json, "print JSON on standard output");
}

}  // namespace

void define_migrate(CLI::App& app, MigrateCommand& migrate) {
  CLI::App& command =
      *add_command(app, "migrate", "move a running VM to a 'ferry receive'", kMigrateExamples);
  migration::MigrateOptions& options = migrate.options;
  add_api(command, migrate.api_socket, migrate.json);
  add(command, "--to", options.to, &parse_to, "where a 'ferry receive' listens")
      ->type_name("ADDR")
      ->required();
  add(command, "--mode", options.mode,
      one_of(&migration::mode_from, "auto, pre-copy, post-copy, hybrid, stop-and-copy, local"),
      "auto (the default: pre-copy, and post-copy for a guest that writes faster than the link), "
      "pre-copy, post-copy, hybrid (one round of pre-copy, then post-copy), stop-and-copy, or "
      "local: memory with --memory-backing shared goes to another process of this host as it is, "
      "which auto does where it can")
      ->type_name("MODE");
  add(command, "--max-downtime", options.max_downtime, &parse_duration,
      "stop the guest when the rest fits this time (default 50ms)")
      ->type_name("TIME");
  add(command, "--max-rounds", options.max_rounds, count(1U, 1'000'000U),
      "rounds of pre-copy at most (default 30, and 1 with hybrid)")
      ->type_name("N");
  add(command, "--stop-policy", options.stop_policy,
      one_of(&migration::stop_policy_from, "first-fit, density"),
      "first-fit (the default: stop as soon as the rest fits), or density: then wait for a moment "
      "at which the guest writes little, for an eighth of the time so far at most, or a quarter if "
      "it writes by bursts")
      ->type_name("POLICY");
  add(command, "--max-bandwidth", options.max_bandwidth, &parse_bandwidth,
      "cap, as 1Gbit or 125MB a second (default unlimited)")
      ->type_name("RATE");
  add(command, "--compression", options.compression,
      one_of(&migration::compression_from, "auto, lz4, zstd, none"),
      "auto (the default: lz4 or zstd where that pays), lz4, zstd or none")
      ->type_name("WAY");
  add(command, "--delta-cache", options.delta_cache, &parse_size,
      "memory for what was sent last of pages that are sent again, so that they go as their "
      "difference where that pays (default an eighth of RAM, or of what the host can spare, 1G at "
      "most; 0: none do)")
      ->type_name("SIZE");
  add(command, "--channels", options.channels, &parse_channels,
      "connections that share the pages: 1 to 16, or auto (the default: as many as are worth it)")
      ->type_name("N|auto");
  add(command, "--prepaging", options.prepaging,
      one_of(&migration::prepaging_from, "bubbling, linear, none"),
      "order in which post-copy sends pages that nobody waits for: bubbling (the default: around "
      "those that were waited for), linear, or none: only what is waited for")
      ->type_name("ORDER");
  add(command, "--timeout", options.timeout, &parse_timeout,
      "a destination that is silent so long is lost (default 10s)")
      ->type_name("TIME");
  command.add_flag("--keep-image", options.keep_image,
                   "keep the image here for the VM's return, in the --image-store of its process, "
                   "or in the user's own store where it has none");
  add(command, "--reuse", options.reuse,
      one_of(&migration::reuse_from, "auto, generation, content, off"),
      "what the destination has kept of the VM is not sent again: by generation (exactly what has "
      "changed), by content (hashes are compared), auto (the default: the first if it can be) or "
      "off")
      ->type_name("WAY");
  command.add_flag(
      "!--no-hot-last", options.hot_last,
      "pre-copy sends a page when its turn comes, though the guest writes it again and "
      "again; for measuring");
  command.add_flag("--throttle", options.throttle, "slow a guest that would not converge");
  command.add_flag("--verify", options.verify,
                   "compare every byte of RAM and state before the VM runs there");
}

void define_predict(CLI::App& app, PredictCommand& predict) {
  CLI::App& command = *add_command(
      app, "predict", "tell what a migration would take, and move nothing", kPredictExamples);
  migration::MigrateOptions& options = predict.request.options;
  add_api(command, predict.api_socket, predict.json);
  add(
      command, "--to", options.to,
      [&predict](std::string_view text) {
        predict.request.probes = true;
        return parse_to(text);
      },
      "where a 'ferry receive' listens: the link is measured, and the receiver goes on waiting")
      ->type_name("ADDR");
  add(command, "--max-bandwidth", options.max_bandwidth, &parse_bandwidth,
      "what the link carries, as 1Gbit or 125MB a second; with --to, the cap")
      ->type_name("RATE");
  add(command, "--max-downtime", options.max_downtime, &parse_duration,
      "as of the migration (default 50ms)")
      ->type_name("TIME");
  add(command, "--max-rounds", options.max_rounds, count(1U, 1'000'000U),
      "as of the migration (default 30, and 1 with hybrid)")
      ->type_name("N");
  add(command, "--compression", options.compression,
      one_of(&migration::compression_from, "auto, lz4, zstd, none"),
      "as of the migration; zstd is foreseen as lz4")
      ->type_name("WAY");
  add(command, "--delta-cache", options.delta_cache, &parse_size,
      "as of the migration (default an eighth of RAM, or of what the host can spare, 1G at most)")
      ->type_name("SIZE");
  add(command, "--channels", options.channels, &parse_channels,
      "as of the migration; auto, the default, is foreseen as 1")
      ->type_name("N|auto");
  add(command, "--stop-policy", options.stop_policy,
      one_of(&migration::stop_policy_from, "first-fit, density"), "as of the migration")
      ->type_name("POLICY");
  command.add_flag("!--no-hot-last", options.hot_last, "as of the migration");
  command.add_flag("--throttle", options.throttle, "as of the migration");
  add(command, "--energy", predict.request.energy, &read_energy,
      "JSON with what a migration takes: joules_per_byte, joules and their source")
      ->type_name("FILE");
  command.parse_complete_callback([&predict] {
    if (predict.request.probes || predict.request.options.max_bandwidth != 0) return;
    throw CLI::RequiredError("one of --to and --max-bandwidth");
  });
}

void define_set(CLI::App& app, SetCommand& set) {
  CLI::App& command =
      *add_command(app, "set", "change the migration that is running, or the guest's balloon");
  migration::MigrateSettings& settings = set.settings;
  add_api(command, set.api_socket, set.json);
  add(command, "--balloon", set.balloon, &parse_size,
      "by itself, while no migration runs: how much of its RAM the guest is asked to do without")
      ->type_name("SIZE");
  add(command, "--max-bandwidth", settings.max_bandwidth, &parse_bandwidth, "the cap")
      ->type_name("RATE");
  add(command, "--max-downtime", settings.max_downtime, &parse_duration, "the longest stop")
      ->type_name("TIME");
  add(command, "--to", settings.to, &parse_to,
      "where to look for a destination that does not answer")
      ->type_name("ADDR");
  add(command, "--prepaging", settings.prepaging,
      one_of(&migration::prepaging_from, "bubbling, linear, none"),
      "order in which post-copy sends pages that nobody waits for")
      ->type_name("ORDER");
  command.parse_complete_callback([&set] {
    const migration::MigrateSettings& chosen = set.settings;
    const bool of_migration =
        chosen.max_bandwidth || chosen.max_downtime || chosen.to || chosen.prepaging;
    if (of_migration && set.balloon) {
      throw CLI::ExcludesError("--balloon", "the options of a migration");
    }
    if (of_migration || set.balloon) return;
    throw CLI::RequiredError(
        "one of --balloon, --max-bandwidth, --max-downtime, --prepaging and --to");
  });
}

void define_control(CLI::App& app, ControlCommand& control) {
  using Verb = ControlCommand::Verb;
  struct Form {
    const char* name;
    Verb verb;
    const char* description;
  };
  constexpr Form kForms[] = {
      {"info", Verb::info, "tell what the VM does, who owns it, and how its migration goes"},
      {"pause", Verb::pause, "stop the vCPUs"},
      {"resume", Verb::resume, "let the vCPUs run again"},
      {"stop", Verb::stop, "end the VM and its process"},
      {"cancel", Verb::cancel, "end the migration; the VM goes on at the source"}};
  for (const Form& form : kForms) {
    CLI::App& command = *add_command(app, form.name, form.description);
    add_api(command, control.api_socket, control.json);
    command.final_callback([&control, verb = form.verb] { control.verb = verb; });
    if (form.verb == Verb::resume) {
      command.add_flag("--force", control.force,
                       "run a VM whose ownership is in doubt: you know that it does not run "
                       "elsewhere");
    }
  }
}

void define_images(CLI::App& app, ImagesCommand& images) {
  CLI::App& command =
      *add_command(app, "images", "list the kept images of VMs that have left", kImagesExamples);
  add(command, "--image-store", images.image_store, &parse_path,
      "directory of the images (default: ferry/images in the user's state directory)")
      ->type_name("DIR");
  command.add_flag("--json", images.json, "print JSON on standard output");
  CLI::App& drop = *add_command(command, "drop", "remove the image of one VM");
  drop.fallthrough();  // --image-store may come before and after
  drop.add_option("ID", images.drop, "the VM's id, as the list shows it")->required();
}

}  // namespace ferry
