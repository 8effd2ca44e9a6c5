#pragma once

#include <string>

#include "ferry/messages.hpp"
#include "vmm/text/printable.hpp"

namespace ferry {

using vmm::printable;

/// What goes to standard error. No thread may use it once main() has returned.
[[nodiscard]] Messages& messages();

/// Tells people something, on a line of standard error. Any thread, and it never fails: what cannot
/// be written is dropped (messages.hpp).
void say(std::string message) noexcept;

}  // namespace ferry
