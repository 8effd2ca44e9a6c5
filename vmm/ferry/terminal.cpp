#include "vmm/ferry/terminal.hpp"

#include <unistd.h>

#include <utility>

namespace ferry {

namespace {

constexpr std::byte kCtrlA{0x01};

}  // namespace

RawTerminal::RawTerminal(int fd) : fd_(fd) {
  termios now{};
  if (::tcgetattr(fd_, &now) != 0) return;
  // Changing the terminal from the background would stop the whole process, VM and all.
  const pid_t foreground = ::tcgetpgrp(fd_);
  if (foreground >= 0 && foreground != ::getpgrp()) return;
  termios raw = now;
  ::cfmakeraw(&raw);
  // Ferry's own messages go to the same screen.
  raw.c_oflag |= OPOST;
  if (::tcsetattr(fd_, TCSANOW, &raw) == 0) before_ = now;
}

RawTerminal::~RawTerminal() {
  if (before_) ::tcsetattr(fd_, TCSANOW, &*before_);
}

EscapeKeys::Result EscapeKeys::filter(std::span<std::byte> bytes) {
  Result result;
  for (const std::byte byte : bytes) {
    if (std::exchange(armed_, false)) {
      result.quit = byte == std::byte{'x'} || byte == std::byte{'X'};
      if (result.quit) break;
    } else if (byte == kCtrlA) {
      armed_ = true;
      continue;
    }
    bytes[result.bytes++] = byte;
  }
  return result;
}

}  // namespace ferry
