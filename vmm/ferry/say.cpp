#include "vmm/ferry/say.hpp"

#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <utility>

namespace ferry {

std::string printable(std::string text) {
  std::ranges::replace_if(
      text, [](unsigned char character) { return std::iscntrl(character) != 0; }, '?');
  return text;
}

Messages& messages() noexcept {
  // Never destroyed: threads may have something to say until the process is gone.
  static auto* const standard_error = new Messages(STDERR_FILENO);
  return *standard_error;
}

void say(std::string message) noexcept {
  try {
    messages().add("ferry: " + printable(std::move(message)));
  } catch (...) {
    messages().add("ferry: (no memory for a message)");
  }
}

}  // namespace ferry
