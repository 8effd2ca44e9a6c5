#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <cstddef>
#include <functional>
#include <optional>
#include <span>
#include <string>

#include "vmm/kvm/unique_fd.hpp"

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
  ~HostStream();
  HostStream(const HostStream&) = delete;
  HostStream& operator=(const HostStream&) = delete;

  enum class State { ready, would_block, ended };
  struct Result {
    State state = State::ready;
    std::size_t bytes = 0;
  };
  /// `ended`: end of file, or an error that reading again would not mend.
  [[nodiscard]] Result read(std::span<std::byte> into);
  /// `ended`: nobody can read it any more, or the disk is full; error() says so.
  [[nodiscard]] Result write(std::span<const std::byte> from);

  /// Calls `ready` once, from the event loop, when the next read or write may do something.
  void wait(std::function<void()> ready);
  void cancel();

  [[nodiscard]] int fd() const { return fd_.get(); }
  /// Why it ended, when that was not the end of file or a reader that left.
  [[nodiscard]] const std::string& error() const { return error_; }

 private:
  void watch();
  [[nodiscard]] Result failed();

  boost::asio::io_context& context_;
  Direction direction_;
  vmm::UniqueFd fd_;
  int restore_flags_ = -1;  ///< of a shared open file that had to be made non-blocking
  /// Empty where epoll has nothing to tell: regular files, /dev/null.
  std::optional<boost::asio::posix::stream_descriptor> watched_;
  std::string error_;
};

}  // namespace ferry
