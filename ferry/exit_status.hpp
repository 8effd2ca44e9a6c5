#pragma once

#include <stdexcept>
#include <string>
#include <system_error>

namespace ferry {

/// What a ferry process ends with (sysexits.h), beside what a guest wrote to its exit port.
enum class ExitStatus {
  ok = 0,
  failed = 1,        ///< `migrate`: no; the other clients: the request was refused
  usage = 64,        ///< the command line
  bad_image = 65,    ///< the kernel or initramfs is no such thing
  no_input = 66,     ///< a file or an image store that is not there, or is something else
  unavailable = 69,  ///< no /dev/kvm, an address in use, nobody answers, no VM arrived
  software = 70,     ///< the guest crashed, or Ferry has a bug
  os_error = 71,     ///< a system call failed
  protocol = 76,     ///< the process at the other end does not speak our language
  no_permission = 77,
};

/// What a process ends with that needs what a system call refuses it, by errno.
[[nodiscard]] ExitStatus status_of(const std::error_code& error);

/// Whether a path names what is not there, or what it is not to be, as a directory in a file's
/// place.
[[nodiscard]] bool wrong_path(const std::error_code& error);

/// A failure that ends the process with a status of its own. The message is for people.
class Failure : public std::runtime_error {
 public:
  Failure(ExitStatus status, const std::string& message)
      : std::runtime_error(message), status_(status) {}
  [[nodiscard]] ExitStatus status() const { return status_; }

 private:
  ExitStatus status_;
};

}  // namespace ferry
