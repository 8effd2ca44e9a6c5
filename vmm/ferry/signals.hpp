#pragma once

#include <boost/asio/signal_set.hpp>
#include <chrono>
#include <initializer_list>

namespace ferry {

/// `timeout` sends its signal to the process and then to its group: signals that come so close
/// together are one wish.
constexpr std::chrono::milliseconds kSameWish{250};

/// What every process does first. A write to a reader that has left, and one beyond the limit of a
/// file's size, is an error of that write; to use the terminal from the background is an error too
/// and does not stop the VM. A signal that Ferry's threads use among themselves gets through,
/// whatever the caller has blocked.
void settle_signals();

/// Adds those that the process was not started to ignore, as nohup and a shell's `&` do.
void add_unless_ignored(boost::asio::signal_set& signals, std::initializer_list<int> numbers);

/// Whether this process has a terminal: its end, too, is a SIGHUP.
[[nodiscard]] bool has_terminal();

}  // namespace ferry
