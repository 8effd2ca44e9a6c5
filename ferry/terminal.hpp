#pragma once

#include <termios.h>

#include <cstddef>
#include <optional>
#include <span>

namespace ferry {

/// A terminal that hands each key over as it is typed, while this process is in its foreground. It
/// is as it was before whenever another process may have it, and at the end. Nothing happens to
/// what is no terminal.
class RawTerminal {
 public:
  explicit RawTerminal(int fd);
  ~RawTerminal();
  RawTerminal(const RawTerminal&) = delete;
  RawTerminal& operator=(const RawTerminal&) = delete;

  /// Whether it is a terminal.
  [[nodiscard]] bool present() const { return present_; }
  /// Who reads or sets a terminal from the background would be stopped, VM and all.
  [[nodiscard]] bool in_foreground() const;

  /// Whose keys are all keys: the guest's, or, as long as there is none, Ferry's, so that Ctrl-C
  /// ends it.
  enum class Keys { ferry, guest };
  /// Nothing in the background. May be called again, for example once the process has been
  /// continued.
  void take(Keys keys);
  void give_back();

 private:
  int fd_;
  bool present_;
  std::optional<termios> before_;
  termios ours_{};
};

/// What RawTerminal::give_back() does, in a signal handler that ends the process.
void give_back_terminal_at_the_end() noexcept;

/// The keys by which a person talks to Ferry instead of to the guest: Ctrl-A X ends Ferry, Ctrl-A H
/// tells of the keys, and Ctrl-A Ctrl-A is one Ctrl-A for the guest. Ctrl-A before any other key is
/// dropped.
class EscapeKeys {
 public:
  struct Result {
    std::size_t bytes = 0;  ///< at the front of what was given: for the guest
    bool quit = false;
    bool help = false;
  };
  /// Takes the commands out of `bytes`, in place. A command may be split between two calls. What
  /// follows the command to quit is dropped.
  [[nodiscard]] Result filter(std::span<std::byte> bytes);

 private:
  bool armed_ = false;
};

}  // namespace ferry
