#pragma once

#include <string>

#include "vmm/ferry/messages.hpp"
#include "vmm/text/printable.hpp"

namespace ferry {

using vmm::printable;

/// What goes to standard error. It lives as long as the process: also its last words are messages.
[[nodiscard]] Messages& messages() noexcept;

/// Tells people something, on a line of standard error. Any thread, and it never fails: what cannot
/// be written is dropped (messages.hpp).
void say(std::string message) noexcept;

}  // namespace ferry
