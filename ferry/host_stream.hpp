#pragma once

#include <sys/stat.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <cstddef>
#include <functional>
#include <optional>
#include <span>
#include <string>

#include "vmm/os/unique_fd.hpp"

namespace ferry {

/// One direction of the host's end of a serial cable: a terminal, pipe, socket or file, used
/// without ever blocking and without changing the open file that is shared with the processes it
/// came from.
class HostStream {
 public:
  enum class Direction { in, out };

  /// Standard input or output.
  HostStream(boost::asio::io_context& context, int inherited, Direction direction);
  /// Appends to a file, which is made if need be. std::system_error that names it.
  HostStream(boost::asio::io_context& context, const std::string& path);
  ~HostStream() = default;
  HostStream(const HostStream&) = delete;
  HostStream& operator=(const HostStream&) = delete;

  enum class State {
    ready,
    would_block,
    ended,   ///< end of file, nobody at the other end, or an error that does not pass
    failed,  ///< an error of writing that may pass, such as a full disk: error() says which
  };
  struct Result {
    State state = State::ready;
    std::size_t bytes = 0;
  };
  [[nodiscard]] Result read(std::span<std::byte> into);
  [[nodiscard]] Result write(std::span<const std::byte> from);

  /// Calls `ready` once, from the event loop, when the next read or write may do something.
  void wait(std::function<void()> ready);
  void cancel();

  [[nodiscard]] const std::string& error() const { return error_; }

 private:
  /// How a call is kept from blocking.
  enum class Way {
    own,     ///< O_NONBLOCK on an open file of this process alone, or a regular file
    socket,  ///< MSG_DONTWAIT
    shared,  ///< by asking first, and then little at a time
  };
  void open_anew(int inherited, const struct stat& status);
  void watch();
  [[nodiscard]] bool ready_now() const;
  [[nodiscard]] Result failed();

  boost::asio::io_context& context_;
  Direction direction_;
  Way way_ = Way::own;
  std::size_t at_most_;  ///< bytes a call
  vmm::UniqueFd fd_;
  /// An epoll of fd_: to wait on fd_ itself Asio would set O_NONBLOCK on it. Empty where there is
  /// nothing to wait for: regular files, /dev/null.
  std::optional<boost::asio::posix::stream_descriptor> watched_;
  std::string error_;
};

}  // namespace ferry
