#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/signal_set.hpp>
#include <chrono>
#include <csignal>
#include <functional>
#include <initializer_list>

namespace ferry {

/// `timeout` sends its signal to the process and then to its group: signals that come so close
/// together are one wish.
constexpr std::chrono::milliseconds kSameWish{250};

/// What every process does first. A write to a reader that has left, and one beyond the limit of a
/// file's size, is an error of that write; to use the terminal from the background is an error too
/// and does not stop the VM. A signal that Ferry's threads use among themselves gets through,
/// whatever the caller has blocked.
void set_up_signals();

/// Adds those that the process was not started to ignore, as nohup and a shell's `&` do.
void add_unless_ignored(boost::asio::signal_set& signals, std::initializer_list<int> numbers);

/// From now on a signal that would end or stop this process waits, and is lost with it: what it
/// ends with is settled, and nobody is there to hear more. To be called by the main thread, as
/// other threads get none (vmm::Thread).
void hold_signals_back();

/// A shell's job control: SIGTSTP stops the process as it does by default, with two calls of the
/// event loop's thread around that. One that was ignored at the start stays ignored.
///
/// Both signals stay blocked, and an event tells that one is there. So the kernel settles which of
/// two counts: SIGCONT takes a SIGTSTP back that has not stopped the process yet, and the other way
/// round. Handlers would tell of both, and a SIGTSTP that is obeyed after its SIGCONT stops the
/// process for ever. To be made by the main thread.
class JobControl {
 public:
  /// `about_to_stop`: by SIGTSTP. `goes_on`: after that, and after a SIGCONT of any other stop.
  JobControl(boost::asio::io_context& context, std::function<void()> about_to_stop,
             std::function<void()> goes_on);

  /// Neither signal does anything from now on.
  void end();

 private:
  void wait();
  void obey();

  std::function<void()> about_to_stop_;
  std::function<void()> goes_on_;
  boost::asio::posix::stream_descriptor there_;
};

/// Whether this process has a terminal: its end, too, is a SIGHUP.
[[nodiscard]] bool has_terminal();

/// The signals that ask this process to end, unless it was started to ignore them. Without a
/// terminal that could hang up a SIGHUP is a log's rotation.
class EndSignals {
 public:
  /// Both are called in the event loop. `rotate` tells whether there was a file; `end` is handed
  /// the status that a shell has for such an end.
  EndSignals(boost::asio::io_context& context, std::function<bool()> rotate,
             std::function<void(int)> end);

 private:
  void wait();
  void came(int number);

  const std::function<bool()> rotate_;
  const std::function<void(int)> end_;
  const bool had_terminal_ = has_terminal();
  boost::asio::signal_set signals_;
};

}  // namespace ferry
