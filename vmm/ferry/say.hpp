#pragma once

#include <string>

namespace ferry {

/// Text of a peer or a file, without what would pass for another line or steer a terminal.
[[nodiscard]] std::string printable(std::string text);

/// Tells people something, on a line of standard error.
void say(std::string message);

}  // namespace ferry
