#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <boost/system/system_error.hpp>
#include <chrono>
#include <exception>
#include <new>
#include <string>
#include <string_view>
#include <system_error>

#include "ferry/client_commands.hpp"
#include "ferry/client_output.hpp"
#include "ferry/command_line.hpp"
#include "ferry/exit_status.hpp"
#include "ferry/images_command.hpp"
#include "ferry/plan_command.hpp"
#include "ferry/say.hpp"
#include "ferry/signals.hpp"
#include "ferry/vm_commands.hpp"
#include "vmm/boot/boot_error.hpp"
#include "vmm/kvm/kvm.hpp"
#include "vmm/text/printable.hpp"

namespace ferry {

namespace {

/// A descriptor 0, 1 or 2 that the caller closed would be taken by the next file that is opened,
/// /dev/kvm for example, and then be read or written as if it were the console.
/// What is written to such a standard output is an error, and no loss in silence.
void occupy_standard_descriptors() {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(fd, F_GETFD) >= 0) continue;
    // The lowest free descriptor, which is this one.
    static_cast<void>(::open("/dev/null", fd == STDERR_FILENO ? O_WRONLY : O_RDONLY));
  }
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
    int operator()(const PredictCommand& command) const { return predict(command); }
    int operator()(const SetCommand& command) const { return set(command); }
    int operator()(const ControlCommand& command) const { return control(command); }
    int operator()(const ImagesCommand& command) const { return images(command); }
    int operator()(const PlanCommand& command) const { return plan(command); }
  };
  return std::visit(Visitor{}, command);
}

/// Nobody waits for a reader that stalls but at the end, for kLastWords. Without the thread a
/// command does its work all the same; has_vm() needs it.
void write_messages_aside() {
  try {
    messages().write_in_background();
  } catch (const std::system_error&) {
    return;
  }
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
  write_messages_aside();
  ExitStatus status{};
  std::string why;
  try {
    const auto command = parse_command_line(argc, argv);
    if (!command) return 0;
    if (has_vm(*command)) messages().write_in_background();
    return dispatch(*command);
  } catch (const Failure& error) {
    status = error.status();
    why = error.what();
  } catch (const vmm::BootError& error) {
    status = status_of_boot(error.kind());
    why = error.what();
  } catch (const vmm::KvmUnavailable& error) {
    status = error.permission() ? ExitStatus::no_permission : ExitStatus::unavailable;
    why = error.what();
  } catch (const std::system_error& error) {
    status = status_of(error.code());
    why = error.what();
  } catch (const boost::system::system_error& error) {  // no std::system_error
    status = status_of(error.code());
    why = error.what();
  } catch (const std::bad_alloc&) {
    status = ExitStatus::os_error;
    why = "the host gives this process no more memory";
  } catch (const std::exception& error) {
    status = ExitStatus::software;
    why = fmt::format("internal error: {}", error.what());
  }
  why = vmm::printable(why, "\n");
  tell(why);
  if (wants_json(argc, argv)) print_error_json(why);
  return static_cast<int>(status);
}

}  // namespace

}  // namespace ferry

int main(int argc, char** argv) {
  ferry::occupy_standard_descriptors();
  ferry::set_up_signals();
  const int status = ferry::guarded_main(argc, argv);
  ferry::messages().finish(ferry::kLastWords);
  return status;
}
