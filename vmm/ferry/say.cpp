#include "vmm/ferry/say.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cstdio>

namespace ferry {

void say(std::string message) {
  // What is quoted must not pass for another line or steer a terminal.
  std::ranges::replace_if(
      message, [](unsigned char character) { return std::iscntrl(character) != 0; }, '?');
  fmt::print(stderr, "ferry: {}\n", message);
}

}  // namespace ferry
