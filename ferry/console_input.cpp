#include <algorithm>
#include <array>
#include <utility>

#include "ferry/console.hpp"
#include "ferry/say.hpp"

/// What is typed or piped in, on its way to the guest.
namespace ferry {

namespace {

/// After so long a guest that takes nothing counts as one that will not, for now; and a process in
/// the background looks so often whether it is in the foreground, of which no event tells.
constexpr std::chrono::milliseconds kLookAgain{500};
/// So much is held of what is typed while the guest takes nothing.
constexpr std::size_t kHeldBytes = 4096;

}  // namespace

void Console::take_terminal() {
  terminal_.take(serial_ ? RawTerminal::Keys::guest : RawTerminal::Keys::ferry);
  pump_input();
}

void Console::pump_input() {
  // First, as nothing may be typed any more that would ask for it.
  if (serial_) static_cast<void>(give_held());
  while (input_ && !input_waits_ && may_read() && take_input()) {
  }
}

/// From the background a terminal cannot be read.
bool Console::may_read() {
  if (!terminal_.present() || terminal_.in_foreground()) return true;
  look_again();
  return false;
}

/// Whether more may be had at once.
bool Console::take_input() {
  if (serial_ && give_held() &&
      serial_->fill([this](std::span<std::byte> room) { return read(room); })) {
    guest_took();
    return true;
  }
  // What is in a pipe stays there: nobody types Ctrl-A X into it.
  return terminal_.present() && look_ahead();
}

void Console::guest_took() {
  takes_nothing_ = false;
  overflow_told_ = false;
  if (std::exchange(looks_again_, false)) again_.cancel();
}

/// Whether all that was held has been given.
bool Console::give_held() {
  while (!held_.empty()) {
    const auto give = [this](std::span<std::byte> room) {
      const std::size_t count = std::min(room.size(), held_.size());
      std::ranges::copy(std::span(held_).first(count), room.begin());
      held_.erase(held_.begin(), held_.begin() + static_cast<std::ptrdiff_t>(count));
      return count;
    };
    if (!serial_->fill(give)) return false;
    guest_took();
  }
  return true;
}

/// Reads though nobody takes it, as Ctrl-A X may be among it. A guest that is amid a migration or
/// just slow takes more in a moment: until then all stays where it is.
bool Console::look_ahead() {
  if (serial_ && !takes_nothing_) {
    look_again();
    return false;
  }
  std::array<std::byte, kHeldBytes> typed{};
  hold(std::span(typed).first(read(typed)));
  return true;
}

void Console::look_again() {
  if (std::exchange(looks_again_, true)) return;
  again_.expires_after(kLookAgain);
  again_.async_wait([this](boost::system::error_code cancelled) {
    if (cancelled) return;
    looks_again_ = false;
    takes_nothing_ = true;
    take_terminal();
  });
}

std::size_t Console::read(std::span<std::byte> room) {
  const HostStream::Result result = input_->read(room);
  switch (result.state) {
    case HostStream::State::failed:
    case HostStream::State::ended:
      // Once more, since the terminal may have come to the foreground after it was read.
      if (may_read() && std::exchange(input_failed_, true)) input_.reset();
      return 0;
    case HostStream::State::would_block:
      input_waits_ = true;
      input_->wait([this] {
        input_waits_ = false;
        pump_input();
      });
      return 0;
    case HostStream::State::ready: input_failed_ = false; break;
  }
  if (!terminal_.present()) return result.bytes;
  const auto [count, quit, help] = escape_.filter(room.first(result.bytes));
  if (help) {
    say("Ctrl-A X ends this process and its VM; Ctrl-A Ctrl-A is one Ctrl-A for the guest; "
        "Ctrl-A H tells this");
  }
  if (quit) quit_();
  return count;
}

void Console::hold(std::span<const std::byte> typed) {
  if (gone_) return;
  const auto kept = typed.first(std::min(typed.size(), kHeldBytes - held_.size()));
  held_.insert(held_.end(), kept.begin(), kept.end());
  if (kept.size() == typed.size() || std::exchange(overflow_told_, true)) return;
  say("the guest takes no input: what is typed is dropped until it does");
}

}  // namespace ferry
