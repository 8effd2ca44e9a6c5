#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "devices/serial.hpp"
#include "ferry/host_stream.hpp"
#include "ferry/terminal.hpp"

namespace ferry {

/// `--serial`: what the host has at the other end of the guest's serial cable.
struct SerialChoice {
  enum class Kind { stdio, null, file };
  Kind kind = Kind::stdio;
  std::string path;  ///< file
};
/// "stdio", "null" or "file:PATH"; std::invalid_argument for anything else.
[[nodiscard]] SerialChoice parse_serial(std::string_view text);

/// Carries bytes between the guest's serial port and the host's streams, in the main thread.
///
/// What the host does not take stays in the serial port, and with it travels to another host; what
/// the guest has no room for stays in the pipe or terminal. Only of a terminal more is read after
/// half a second in which the guest took nothing, or while no guest is there: among it may be
/// Ctrl-A X.
///
/// Output that cannot be written, as the disk is full, is dropped until it can.
class Console {
 public:
  /// Opens the streams. `quit` is called when somebody types Ctrl-A X. std::system_error.
  Console(boost::asio::io_context& context, const SerialChoice& choice, std::function<void()> quit);

  /// Before the machine of this serial port runs; any thread.
  void observe(devices::Serial& serial);
  /// From now on the bytes of this port, which is observed, are carried.
  void connect(std::shared_ptr<devices::Serial> serial);
  /// The VM has gone: nothing is carried any more. `listen`: the process stays, so Ctrl-A X has to
  /// be heard; else what is still to be read is left to whoever comes next.
  void disconnect(bool listen);
  /// The process is about to be stopped, or has been continued.
  void give_terminal_back() { terminal_.give_back(); }
  void take_terminal();
  /// Opens the file anew, which may have been renamed. False when output does not go to a file.
  bool reopen_file();
  /// Gives what the guest wrote to the host, as long as that takes it, within `limit`; how many
  /// bytes were left over.
  boost::asio::awaitable<std::size_t> flush(std::chrono::milliseconds limit);

 private:
  void pump_output();
  std::size_t write(std::span<const std::byte> bytes);
  std::size_t drop(std::span<const std::byte> bytes);
  void output_failed();

  // console_input.cpp
  void pump_input();
  bool may_read();
  bool take_input();
  void guest_took();
  bool give_held();
  bool look_ahead();
  void look_again();
  std::size_t read(std::span<std::byte> room);
  void hold(std::span<const std::byte> typed);

  boost::asio::io_context& context_;
  std::function<void()> quit_;
  std::shared_ptr<devices::Serial> serial_;

  std::string path_;  ///< of the file that output goes to
  std::unique_ptr<HostStream> output_;
  bool output_waits_ = false;                        ///< for the host to take more
  bool shares_terminal_ = false;                     ///< with the messages
  std::uint64_t dropped_ = 0;                        ///< bytes since output was last written
  std::chrono::steady_clock::time_point try_again_;  ///< to write, after a failure
  boost::asio::steady_timer flushed_;

  std::optional<HostStream> input_;
  bool input_waits_ = false;   ///< for the host to give more
  bool input_failed_ = false;  ///< the last time that it was read
  RawTerminal terminal_;
  EscapeKeys escape_;
  boost::asio::steady_timer again_;
  bool looks_again_ = false;    ///< again_ runs
  bool takes_nothing_ = false;  ///< the guest, since the last look
  bool gone_ = false;           ///< the VM has left
  bool overflow_told_ = false;
  std::vector<std::byte> held_;  ///< typed, and for the guest once it takes more
};

}  // namespace ferry
