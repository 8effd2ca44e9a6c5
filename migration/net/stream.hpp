#pragma once

#include <sys/uio.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>

#include "migration/net/socket.hpp"

namespace migration::net {

/// A page connection, used by one thread with plain blocking calls: bulk data goes straight from
/// guest memory into the socket and from the socket into guest memory, and between them no event
/// loop wakes up. `interrupt` ends a blocked call from another thread.
class Stream {
 public:
  /// Takes the socket's descriptor over. A write of which nothing gets through for `write_limit` is
  /// an error; 0: it waits.
  explicit Stream(Socket socket, std::chrono::milliseconds write_limit = {});
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  /// Writes all of it. std::system_error when the link fails. Changes `parts`.
  void write(std::span<iovec> parts);
  /// Fills all of it; ECONNRESET when the peer ends before. Changes `parts`.
  void read(std::span<iovec> parts);
  /// Takes what there is, at least one byte. Returns how many.
  [[nodiscard]] std::size_t read_some(std::span<std::byte> into);
  /// The same without waiting: 0 when there is nothing yet.
  [[nodiscard]] std::size_t read_ready(std::span<std::byte> into);

  /// From now on a write waits while the kernel has about so many bytes that are not under way yet:
  /// what is urgent on the same link shall not wait behind them. No effect on Unix sockets.
  void limit_unsent(std::size_t bytes);

  /// The processor that took the peer's last packet off the link; negative where there is none.
  [[nodiscard]] int arrival_processor() const;

  /// To poll.
  [[nodiscard]] int fd() const { return fd_; }
  /// Any thread: the pending and every later call fails.
  void interrupt();

 private:
  std::size_t receive(std::span<std::byte> into, int flags);

  int fd_;
};

}  // namespace migration::net
