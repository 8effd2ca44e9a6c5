#include <fmt/format.h>

#include <stdexcept>

#include "ferry/network_options.hpp"
#include "ferry/options.hpp"
#include "ferry/units.hpp"
#include "vmm/machine/machine_config.hpp"
#include "vmm/text/printable.hpp"

/// The options of the processes that have a VM: run and receive.
namespace ferry {

namespace {

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

std::string parse_name(std::string_view text) {
  if (text.empty() || text.size() > vmm::kMaxName || !vmm::is_printable(text)) {
    throw std::invalid_argument(
        fmt::format("1 to {} bytes of printable characters in UTF-8", vmm::kMaxName));
  }
  return std::string(text);
}

void add_console(CLI::App& command, SerialChoice& serial, std::string& api_socket) {
  add(command, "--serial", serial, &parse_serial,
      "the guest's serial port: stdio (the default), null, or file:PATH, which is appended to")
      ->type_name("stdio|null|file:PATH");
  add(command, "--api-socket", api_socket, &parse_socket_path, "where to make the control socket")
      ->type_name("PATH");
}

bool parse_backing(std::string_view text) {
  if (text != "anonymous" && text != "shared") {
    throw std::invalid_argument(fmt::format("'{}' is neither anonymous nor shared", text));
  }
  return text == "shared";
}

void add_memory(CLI::App& command, ImageStoreChoice& images, bool& shared) {
  CLI::Option* const store =
      add(command, "--image-store", images.directory, &parse_path,
          "where images of VMs that left are kept; on a tmpfs it holds the guest's RAM too, "
          "so that keeping copies nothing")
          ->type_name("DIR");
  add(command, "--image-store-limit", images.limit, &parse_size,
      "keep no more than this; the oldest images go first")
      ->type_name("SIZE");
  add(command, "--memory-backing", shared, &parse_backing,
      "what the guest's RAM is: anonymous memory (the default), or shared: memory that can be "
      "handed to another process of this host, so that the VM moves there without copying")
      ->type_name("anonymous|shared")
      ->excludes(store);
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

}  // namespace

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
  add_memory(command, run.images, run.shared_memory);
  add_overcommit(command, run.overcommit);
  command.add_flag("--rng", run.rng, "give the guest a virtio entropy device");
  CLI::Option* const balloon =
      command.add_flag("--balloon", run.balloon,
                       "give the guest a virtio memory balloon, for 'ferry set --balloon'");
  command
      .add_flag("--free-page-reporting", run.free_page_reporting,
                "the guest's balloon also gives back what the guest reports as free")
      ->needs(balloon);
  add_each(command, "--disk", run.disks, &parse_disk,
           "a raw image, a block device of the host, or a server's disk, as a virtio disk; may be "
           "repeated")
      ->type_name("PATH|nbd:URI[,readonly][,id=NAME]");
  add_each(command, "--net", run.networks, &parse_network,
           "a virtio network device, on a TAP interface or on passt's socket; may be repeated")
      ->type_name("tap:IFNAME|passt:SOCKET[,mac=MAC][,id=NAME]");
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
  add_memory(command, receive.images, receive.shared_memory);
  add_overcommit(command, receive.overcommit);
  add_each(command, "--disk", receive.disks, &parse_disk_place,
           "where the disk that the guest knows by that id is on this host; may be repeated")
      ->type_name("id=NAME,PATH|nbd:URI");
  add_each(command, "--net", receive.networks, &parse_network_place,
           "the network on this host of the guest's device with that id; may be repeated")
      ->type_name("id=NAME,tap:IFNAME|passt:SOCKET");
  add(command, "--tracking", receive.tracking, &parse_switch,
      "watch what a VM whose image is kept changes, so that its return sends exactly that: on (the "
      "default) or off")
      ->type_name("on|off");
}

}  // namespace ferry
