#include "vmm/ferry/command_line.hpp"

#include <fmt/format.h>
#include <sys/un.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <concepts>
#include <filesystem>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string_view>
#include <vector>

#include "vmm/ferry/client_output.hpp"
#include "vmm/ferry/exit_status.hpp"
#include "vmm/ferry/help.hpp"
#include "vmm/ferry/units.hpp"
#include "vmm/machine/machine_config.hpp"
#include "vmm/text/printable.hpp"

namespace ferry {

namespace {

constexpr const char* kAbout =
    "Ferry runs virtual machines on Linux KVM and moves them, running, to other\n"
    "hosts.\n"
    "\n"
    "  ferry run --kernel guest.elf --api-socket a.sock      # a VM, its console here\n"
    "  ferry receive --listen tcp:0.0.0.0:7000               # on the other host\n"
    "  ferry migrate --api-socket a.sock --to tcp:HOST:7000  # move it there\n"
    "\n"
    "ADDR is tcp:HOST:PORT or unix:PATH. 'ferry COMMAND --help' explains a command;\n"
    "the manual is ferry(1).";

constexpr const char* kRunExamples =
    "Examples:\n"
    "  ferry run --kernel guest.elf --memory 512M --cmdline 'tick=10'\n"
    "  ferry run --kernel g.elf --cpus 4 --serial file:log.txt --api-socket a.sock\n"
    "On a terminal, Ctrl-A X ends the VM and Ctrl-A Ctrl-A sends one Ctrl-A to the\n"
    "guest. Ends with the low 6 bits of what the guest wrote to its exit port (0xf4),\n"
    "or with 0 when the guest powered off or has moved to another process.";

constexpr const char* kReceiveExamples =
    "Examples:\n"
    "  ferry receive --listen tcp:0.0.0.0:7000 --api-socket vm.sock\n"
    "  ferry receive --listen unix:/run/ferry.sock --serial null\n"
    "Prints 'listening on ADDR' when it listens, takes one VM, and runs it.";

constexpr const char* kMigrateExamples =
    "Examples:\n"
    "  ferry migrate --api-socket vm.sock --to tcp:host-b:7000\n"
    "  ferry migrate --api-socket vm.sock --to tcp:host-b:7000 --max-downtime 5ms\n"
    "  ferry migrate --api-socket vm.sock --to tcp:b:7000 --max-bandwidth 1Gbit\n"
    "  ferry migrate --api-socket vm.sock --to tcp:host-b:7000 --mode post-copy\n"
    "Ctrl-C cancels: the VM goes on at the source; once it runs at the destination it\n"
    "is too late for that. Ends with 0 when the VM has moved, and with 1 when it has\n"
    "not; the message says who owns it.";

constexpr const char* kImagesExamples =
    "Examples:\n"
    "  ferry images\n"
    "  ferry images drop --image-store /srv/vm 0a1b2c3d-0000-4111-8222-333344445555\n"
    "An image is the RAM that a VM left here, so that only what changed has to come\n"
    "back with it.";

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

template <typename Enum>
auto one_of(std::optional<Enum> (*from)(std::string_view), const char* wanted) {
  return [from, wanted](std::string_view text) {
    const auto found = from(text);
    if (!found) throw std::invalid_argument(fmt::format("'{}' is none of {}", text, wanted));
    return *found;
  };
}

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

std::chrono::milliseconds parse_timeout(std::string_view text) {
  const auto timeout = std::chrono::duration_cast<std::chrono::milliseconds>(parse_duration(text));
  if (timeout < std::chrono::milliseconds(10)) throw std::invalid_argument("at least 10ms");
  return timeout;
}

std::string parse_path(std::string_view text) {
  if (text.empty()) throw std::invalid_argument("the path is empty");
  return std::string(text);
}

constexpr std::size_t kMaxSocketPath = sizeof(sockaddr_un::sun_path) - 1;

std::string parse_socket_path(std::string_view text) {
  if (text.size() > kMaxSocketPath) {
    throw std::invalid_argument(
        fmt::format("the path has {} bytes and a socket's may have {}: choose a shorter one",
                    text.size(), kMaxSocketPath));
  }
  return parse_path(text);
}

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

std::string parse_name(std::string_view text) {
  if (text.empty() || text.size() > vmm::kMaxName || !vmm::is_printable(text)) {
    throw std::invalid_argument(
        fmt::format("1 to {} bytes of printable characters in UTF-8", vmm::kMaxName));
  }
  return std::string(text);
}

CLI::App* add_command(CLI::App& app, const char* name, const char* description,
                      const char* examples = "") {
  CLI::App* command = app.add_subcommand(name, description);
  command->footer(examples);
  return command;
}

void add_console(CLI::App& command, SerialChoice& serial, std::string& api_socket) {
  add(command, "--serial", serial, &parse_serial,
      "the guest's serial port: stdio (the default), null, or file:PATH, which is appended to")
      ->type_name("stdio|null|file:PATH");
  add(command, "--api-socket", api_socket, &parse_socket_path, "where to make the control socket")
      ->type_name("PATH");
}

void add_api(CLI::App& command, std::string& api_socket, bool& json) {
  add(command, "--api-socket", api_socket, &parse_socket_path,
      "control socket of the process with the VM")
      ->type_name("PATH")
      ->required();
  command.add_flag("--json", json, "print JSON on standard output");
}

void add_images(CLI::App& command, ImageStoreChoice& images) {
  add(command, "--image-store", images.directory, &parse_path,
      "where images of VMs that left are kept; on a tmpfs it holds the guest's RAM too, "
      "so that keeping copies nothing")
      ->type_name("DIR");
  add(command, "--image-store-limit", images.limit, &parse_size,
      "keep no more than this; the oldest images go first")
      ->type_name("SIZE");
}

void add_overcommit(CLI::App& command, bool& overcommit) {
  command.add_flag("--overcommit", overcommit,
                   "take a guest with more memory than there is, as it will not use it all");
}

bool parse_switch(std::string_view text) {
  if (text != "on" && text != "off") {
    throw std::invalid_argument(fmt::format("'{}' is neither on nor off", text));
  }
  return text == "on";
}

void define_run(CLI::App& app, RunCommand& run) {
  CLI::App& command = *add_command(app, "run", "boot a guest and run it here", kRunExamples);
  command.add_option("--kernel", run.kernel, "a Linux bzImage, or an ELF image with a PVH note")
      ->type_name("IMAGE")
      ->required();
  command.add_option("--initramfs", run.initramfs, "initial root file system, or a PVH module")
      ->type_name("FILE")
      ->allow_extra_args(false);  // an option each: more than once
  command.add_option("--cmdline", run.cmdline, "the kernel's command line")->type_name("TEXT");
  add(command, "--memory", run.memory_bytes, &parse_size, "RAM, 16M or more (default 256M)")
      ->type_name("SIZE");
  add(command, "--cpus", run.cpus, count(std::uint32_t{1}, vmm::kMaxCpus),
      "vCPUs, 1 to 16 (default 1)")
      ->type_name("N");
  add(command, "--name", run.name, &parse_name, "what people call the VM")->type_name("NAME");
  add_console(command, run.serial, run.api_socket);
  add_images(command, run.images);
  add_overcommit(command, run.overcommit);
}

void define_receive(CLI::App& app, ReceiveCommand& receive) {
  CLI::App& command = *add_command(
      app, "receive", "wait for one VM and run it here; it brings its configuration along",
      kReceiveExamples);
  add(command, "--listen", receive.listen, &migration::parse_address,
      "where to listen; port 0 lets the system choose one")
      ->type_name("ADDR")
      ->required();
  add(command, "--timeout", receive.timeout, &parse_timeout,
      "a source that is silent so long is lost (default 10s)")
      ->type_name("TIME");
  add_console(command, receive.serial, receive.api_socket);
  add_images(command, receive.images);
  add_overcommit(command, receive.overcommit);
  add(command, "--tracking", receive.tracking, &parse_switch,
      "watch what a VM whose image is kept changes, so that its return sends exactly that: on (the "
      "default) or off")
      ->type_name("on|off");
}

void define_migrate(CLI::App& app, MigrateCommand& migrate) {
  CLI::App& command =
      *add_command(app, "migrate", "move a running VM to a 'ferry receive'", kMigrateExamples);
  migration::MigrateOptions& options = migrate.options;
  add_api(command, migrate.api_socket, migrate.json);
  add(command, "--to", options.to, &parse_to, "where a 'ferry receive' listens")
      ->type_name("ADDR")
      ->required();
  add(command, "--mode", options.mode,
      one_of(&migration::mode_from, "auto, pre-copy, post-copy, hybrid, stop-and-copy"),
      "auto (the default: pre-copy, and post-copy for a guest that writes faster than the link), "
      "pre-copy, post-copy, hybrid (one round of pre-copy, then post-copy) or stop-and-copy")
      ->type_name("MODE");
  add(command, "--max-downtime", options.max_downtime, &parse_duration,
      "stop the guest when the rest fits this time (default 50ms)")
      ->type_name("TIME");
  add(command, "--max-rounds", options.max_rounds, count(1U, 1'000'000U),
      "rounds of pre-copy at most (default 30, and 1 with hybrid)")
      ->type_name("N");
  add(command, "--max-bandwidth", options.max_bandwidth, &parse_bandwidth,
      "cap, as 1Gbit or 125MB a second (default unlimited)")
      ->type_name("RATE");
  add(command, "--compression", options.compression,
      one_of(&migration::compression_from, "auto, lz4, none"),
      "auto (the default: lz4 where it pays), lz4 or none")
      ->type_name("WAY");
  add(command, "--channels", options.channels, count(1U, migration::kMaxChannels),
      "connections that share the pages (default 1)")
      ->type_name("N");
  add(command, "--prepaging", options.prepaging,
      one_of(&migration::prepaging_from, "bubbling, linear, none"),
      "order in which post-copy sends pages that nobody waits for: bubbling (the default: around "
      "those that were waited for), linear, or none: only what is waited for")
      ->type_name("ORDER");
  add(command, "--timeout", options.timeout, &parse_timeout,
      "a destination that is silent so long is lost (default 10s)")
      ->type_name("TIME");
  command.add_flag("--keep-image", options.keep_image,
                   "keep the image here for the VM's return, in the --image-store of its process");
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

void define_set(CLI::App& app, SetCommand& set) {
  CLI::App& command = *add_command(app, "set", "change the migration that is running");
  migration::MigrateSettings& settings = set.settings;
  add_api(command, set.api_socket, set.json);
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
  command.parse_complete_callback([&settings] {
    if (settings.max_bandwidth || settings.max_downtime || settings.to || settings.prepaging) {
      return;
    }
    throw CLI::RequiredError("one of --max-bandwidth, --max-downtime, --prepaging and --to");
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

}  // namespace

bool wants_json(int argc, const char* const* argv) {
  const std::vector<std::string_view> words(argv, argv + argc);
  const bool has_vm = argc > 1 && (words[1] == "run" || words[1] == "receive");
  return !has_vm && std::ranges::find(words, "--json") != words.end();
}

std::optional<Command> parse_command_line(int argc, const char* const* argv) {
  CLI::App app(kAbout, "ferry");
  app.formatter(std::make_shared<HelpFormat>());
  app.set_version_flag("--version", std::string("ferry ") + FERRY_VERSION);
  app.require_subcommand(1);
  RunCommand run;
  ReceiveCommand receive;
  MigrateCommand migrate;
  SetCommand set;
  ControlCommand control;
  ImagesCommand images;
  define_run(app, run);
  define_receive(app, receive);
  define_migrate(app, migrate);
  define_set(app, set);
  define_control(app, control);
  define_images(app, images);
  std::vector<std::string> topic;
  add_command(app, "help", "explain a command, as 'ferry help run'")
      ->add_option("COMMAND", topic, "the command; none: all of them");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) {
      std::ostringstream text;
      app.exit(error, text, text);
      print_out(text.str());
      return std::nullopt;
    }
    throw usage_failure(app, argc, argv, error);
  }
  if (app.got_subcommand("help")) {
    print_out(help_on(app, topic));
    return std::nullopt;
  }
  if (app.got_subcommand("run")) return run;
  if (app.got_subcommand("receive")) return receive;
  if (app.got_subcommand("migrate")) return migrate;
  if (app.got_subcommand("set")) return set;
  if (app.got_subcommand("images")) return images;
  return control;
}

}  // namespace ferry
