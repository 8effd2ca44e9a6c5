#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <boost/system/system_error.hpp>
#include <chrono>
#include <exception>
#include <new>
#include <string_view>
#include <system_error>

#include "vmm/boot/boot_error.hpp"
#include "vmm/ferry/client_commands.hpp"
#include "vmm/ferry/command_line.hpp"
#include "vmm/ferry/exit_status.hpp"
#include "vmm/ferry/images_command.hpp"
#include "vmm/ferry/say.hpp"
#include "vmm/ferry/signals.hpp"
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

/// How long the last messages may take to be written.
constexpr std::chrono::seconds kLastWords{1};

/// Why the process ends. It may have several lines.
void tell(std::string_view why) { messages().add(fmt::format("ferry: {}", why)); }

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

/// Nothing that is said may hold up a VM.
bool has_vm(const Command& command) {
  return std::holds_alternative<RunCommand>(command) ||
         std::holds_alternative<ReceiveCommand>(command);
}

ExitStatus status_of_boot(vmm::BootError::Kind kind) {
  switch (kind) {
    case vmm::BootError::Kind::missing_file: return ExitStatus::no_input;
    case vmm::BootError::Kind::forbidden_file: return ExitStatus::no_permission;
    case vmm::BootError::Kind::bad_image: break;
  }
  return ExitStatus::bad_image;
}

int guarded_main(int argc, const char* const* argv) {
  ExitStatus status{};
  try {
    const auto command = parse_command_line(argc, argv);
    if (!command) return 0;
    if (has_vm(*command)) messages().write_in_background();
    return dispatch(*command);
  } catch (const Failure& error) {
    status = error.status();
    tell(error.what());
  } catch (const vmm::BootError& error) {
    status = status_of_boot(error.kind());
    tell(error.what());
  } catch (const vmm::KvmUnavailable& error) {
    status = error.permission() ? ExitStatus::no_permission : ExitStatus::unavailable;
    tell(error.what());
  } catch (const std::system_error& error) {
    status = status_of(error.code());
    tell(error.what());
  } catch (const boost::system::system_error& error) {  // no std::system_error
    status = status_of(error.code());
    tell(error.what());
  } catch (const std::bad_alloc&) {
    status = ExitStatus::os_error;
    tell("the host gives this process no more memory");
  } catch (const std::exception& error) {
    status = ExitStatus::software;
    tell(fmt::format("internal error: {}", error.what()));
  }
  return static_cast<int>(status);
}

}  // namespace

}  // namespace ferry

int main(int argc, char** argv) {
  ferry::occupy_standard_descriptors();
  ferry::settle_signals();
  const int status = ferry::guarded_main(argc, argv);
  ferry::messages().finish(ferry::kLastWords);
  return status;
}
