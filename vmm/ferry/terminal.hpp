#pragma once

#include <termios.h>

#include <cstddef>
#include <optional>
#include <span>

namespace ferry {

/// A terminal in raw mode as long as this lives, so that each key goes to the guest as it is typed.
/// Nothing happens to what is no terminal, or to one where another process is in the foreground.
class RawTerminal {
 public:
  explicit RawTerminal(int fd);
  ~RawTerminal();
  RawTerminal(const RawTerminal&) = delete;
  RawTerminal& operator=(const RawTerminal&) = delete;

  [[nodiscard]] bool active() const { return before_.has_value(); }

 private:
  int fd_;
  std::optional<termios> before_;
};

/// The keys by which a person talks to Ferry instead of to the guest: Ctrl-A X ends Ferry, and
/// Ctrl-A Ctrl-A is one Ctrl-A for the guest. Ctrl-A before any other key is dropped.
class EscapeKeys {
 public:
  struct Result {
    std::size_t bytes = 0;  ///< at the front of what was given: for the guest
    bool quit = false;
  };
  /// Takes the commands out of `bytes`, in place. A command may be split between two calls.
  [[nodiscard]] Result filter(std::span<std::byte> bytes);

 private:
  bool armed_ = false;
};

}  // namespace ferry
