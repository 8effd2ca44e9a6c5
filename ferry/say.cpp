#include "ferry/say.hpp"

#include <unistd.h>

namespace ferry {

Messages& messages() {
  static Messages standard_error(STDERR_FILENO);
  return standard_error;
}

void say(std::string message) noexcept {
  try {
    messages().add("ferry: " + printable(message));
  } catch (...) {
    messages().add("ferry: (no memory for a message)");
  }
}

}  // namespace ferry
