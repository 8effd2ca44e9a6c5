#include "vmm/ferry/say.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <utility>

namespace ferry {

std::string printable(std::string text) {
  std::ranges::replace_if(
      text, [](unsigned char character) { return std::iscntrl(character) != 0; }, '?');
  return text;
}

void say(std::string message) { fmt::print(stderr, "ferry: {}\n", printable(std::move(message))); }

}  // namespace ferry
