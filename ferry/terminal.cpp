#include "ferry/terminal.hpp"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cctype>
#include <utility>

namespace ferry {

namespace {

constexpr std::byte kCtrlA{0x01};

bool same(const termios& one, const termios& other) {
  return one.c_iflag == other.c_iflag && one.c_oflag == other.c_oflag &&
         one.c_cflag == other.c_cflag && one.c_lflag == other.c_lflag &&
         std::ranges::equal(one.c_cc, other.c_cc);
}

/// The terminal that is taken, for a signal handler.
struct Taken {
  std::atomic<int> fd{-1};  ///< -1: none, and `before` may be changing
  termios before{};
};
Taken taken;

}  // namespace

void give_back_terminal_at_the_end() noexcept {
  const int fd = taken.fd;
  if (fd < 0) return;
  const pid_t foreground = ::tcgetpgrp(fd);
  if (foreground >= 0 && foreground != ::getpgrp()) return;
  ::tcsetattr(fd, TCSANOW, &taken.before);
}

RawTerminal::RawTerminal(int fd) : fd_(fd), present_(::isatty(fd) == 1) {}

RawTerminal::~RawTerminal() { give_back(); }

bool RawTerminal::in_foreground() const {
  // An error: not our controlling terminal, so nobody's background is ours.
  const pid_t foreground = ::tcgetpgrp(fd_);
  return foreground < 0 || foreground == ::getpgrp();
}

void RawTerminal::take(Keys keys) {
  if (!present_ || !in_foreground()) return;
  termios now{};
  if (::tcgetattr(fd_, &now) != 0) return;
  // Somebody else has set it meanwhile: a shell does, when the process is stopped and continued.
  if (before_ && !same(now, ours_)) before_.reset();
  termios raw = before_.value_or(now);
  if (!before_) {
    before_ = now;
    taken.fd = -1;
    taken.before = now;
    taken.fd = fd_;
  }
  ::cfmakeraw(&raw);
  // Ferry's own messages go to the same screen.
  raw.c_oflag |= OPOST;
  if (keys == Keys::ferry) raw.c_lflag |= ISIG;
  if (::tcsetattr(fd_, TCSANOW, &raw) != 0) return before_.reset();
  // As the kernel has it: what it compares to is read back.
  static_cast<void>(::tcgetattr(fd_, &ours_));
}

void RawTerminal::give_back() {
  if (!before_) return;
  if (in_foreground()) ::tcsetattr(fd_, TCSANOW, &*before_);
  taken.fd = -1;
  before_.reset();
}

EscapeKeys::Result EscapeKeys::filter(std::span<std::byte> bytes) {
  Result result;
  for (const std::byte byte : bytes) {
    if (std::exchange(armed_, false)) {
      const int key = std::tolower(std::to_integer<unsigned char>(byte));
      result.quit = key == 'x';
      if (result.quit) break;
      if (key == 'h') {
        result.help = true;
        continue;
      }
    } else if (byte == kCtrlA) {
      armed_ = true;
      continue;
    }
    bytes[result.bytes++] = byte;
  }
  return result;
}

}  // namespace ferry
