#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "devices/serial.hpp"
#include "vmm/ferry/host_stream.hpp"
#include "vmm/ferry/terminal.hpp"

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
/// It holds no bytes of its own: what the host does not take stays in the serial port, and with it
/// travels to another host; what the guest has no room for stays in the pipe or terminal.
class Console {
 public:
  /// Opens the streams. `quit` is called when somebody types Ctrl-A X. std::system_error.
  Console(boost::asio::io_context& context, const SerialChoice& choice, std::function<void()> quit);

  /// Before the machine of this serial port runs; any thread.
  void observe(devices::Serial& serial);
  /// From now on the bytes of this port, which is observed, are carried.
  void connect(std::shared_ptr<devices::Serial> serial);
  /// The VM has gone: nothing is carried any more.
  void disconnect();
  /// Gives what the guest wrote to the host, as long as that takes it, within `limit`; how many
  /// bytes were left over.
  boost::asio::awaitable<std::size_t> flush(std::chrono::milliseconds limit);

 private:
  void pump_output();
  void pump_input();
  std::size_t write(std::span<const std::byte> bytes);
  std::size_t read(std::span<std::byte> room);
  void output_ended();

  boost::asio::io_context& context_;
  std::function<void()> quit_;
  std::optional<HostStream> output_;
  std::optional<HostStream> input_;
  std::optional<RawTerminal> raw_;
  EscapeKeys escape_;
  std::shared_ptr<devices::Serial> serial_;
  boost::asio::steady_timer flushed_;
  bool output_waits_ = false;  ///< for the host to take more
  bool input_waits_ = false;   ///< for the host to give more
};

}  // namespace ferry
