#pragma once

#include <string>

#include "vmm/ferry/messages.hpp"

namespace ferry {

/// Text of a peer or a file, without what would pass for another line or steer a terminal.
[[nodiscard]] std::string printable(std::string text);

/// What goes to standard error. It lives as long as the process: also its last words are messages.
[[nodiscard]] Messages& messages() noexcept;

/// Tells people something, on a line of standard error. Any thread, and it never fails: what cannot
/// be written is dropped (messages.hpp).
void say(std::string message) noexcept;

}  // namespace ferry
