#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <exception>
#include <system_error>

#include "vmm/boot/boot_error.hpp"
#include "vmm/ferry/client_commands.hpp"
#include "vmm/ferry/command_line.hpp"
#include "vmm/ferry/exit_status.hpp"
#include "vmm/ferry/images_command.hpp"
#include "vmm/ferry/vm_commands.hpp"
#include "vmm/kvm/kvm.hpp"

namespace ferry {

namespace {

/// A descriptor 0, 1 or 2 that the caller closed would be taken by the next file that is opened,
/// /dev/kvm for example, and then be read or written as if it were the console.
void occupy_standard_descriptors() {
  int fd = 0;
  do {
    fd = ::open("/dev/null", O_RDWR);
  } while (fd >= 0 && fd <= STDERR_FILENO);
  if (fd > STDERR_FILENO) ::close(fd);
}

int dispatch(const Command& command) {
  struct Visitor {
    int operator()(const RunCommand& command) const { return run(command); }
    int operator()(const ReceiveCommand& command) const { return receive(command); }
    int operator()(const MigrateCommand& command) const { return migrate(command); }
    int operator()(const SetCommand& command) const { return set(command); }
    int operator()(const ControlCommand& command) const { return control(command); }
    int operator()(const ImagesCommand& command) const { return images(command); }
  };
  return std::visit(Visitor{}, command);
}

ExitStatus status_of(const std::system_error& error) {
  const int code = error.code().value();
  if (code == EACCES || code == EPERM) return ExitStatus::no_permission;
  const bool network = code == EADDRINUSE || code == EADDRNOTAVAIL || code == ENAMETOOLONG ||
                       code == EHOSTUNREACH || code == ENOENT;
  return network ? ExitStatus::unavailable : ExitStatus::os_error;
}

int guarded_main(int argc, const char* const* argv) {
  ExitStatus status{};
  try {
    const auto command = parse_command_line(argc, argv);
    return command ? dispatch(*command) : 0;
  } catch (const Failure& error) {
    status = error.status();
    fmt::print(stderr, "ferry: {}\n", error.what());
  } catch (const vmm::BootError& error) {
    status = error.kind() == vmm::BootError::Kind::missing_file ? ExitStatus::no_input
                                                                : ExitStatus::bad_image;
    fmt::print(stderr, "ferry: {}\n", error.what());
  } catch (const vmm::KvmUnavailable& error) {
    status = error.permission() ? ExitStatus::no_permission : ExitStatus::unavailable;
    fmt::print(stderr, "ferry: {}\n", error.what());
  } catch (const std::system_error& error) {
    status = status_of(error);
    fmt::print(stderr, "ferry: {}\n", error.what());
  } catch (const std::exception& error) {
    status = ExitStatus::software;
    fmt::print(stderr, "ferry: internal error: {}\n", error.what());
  }
  return static_cast<int>(status);
}

}  // namespace

}  // namespace ferry

int main(int argc, char** argv) {
  ferry::occupy_standard_descriptors();
  // A reader that leaves is an error of the write. From the background, reading the terminal is an
  // error too and does not stop the VM.
  for (const int number : {SIGPIPE, SIGTTIN, SIGTTOU}) std::signal(number, SIG_IGN);
  return ferry::guarded_main(argc, argv);
}
