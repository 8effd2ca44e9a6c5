#pragma once

#include <string>

namespace ferry {

/// Tells people something, on a line of standard error. The message may quote a peer or a file.
void say(std::string message);

}  // namespace ferry
