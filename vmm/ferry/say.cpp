#include "vmm/ferry/say.hpp"

#include <unistd.h>

namespace ferry {

Messages& messages() noexcept {
  // Never destroyed: threads may have something to say until the process is gone.
  static auto* const standard_error = new Messages(STDERR_FILENO);
  return *standard_error;
}

void say(std::string message) noexcept {
  try {
    messages().add("ferry: " + printable(message));
  } catch (...) {
    messages().add("ferry: (no memory for a message)");
  }
}

}  // namespace ferry
