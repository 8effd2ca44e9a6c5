#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

namespace ferry {

/// Lines for people, on a descriptor that others share: a terminal, a pipe, a socket or a file.
///
/// Whoever has something to say must not wait for a reader that stalls, and must not fail because
/// the reader has left or the disk is full. So a line that cannot be written is dropped and
/// counted, and a thread does the writing where a VM depends on the process. The descriptor stays
/// as it is: O_NONBLOCK would change it for the other processes too.
class Messages {
 public:
  explicit Messages(int fd);
  /// Does not wait for what is still to be written.
  ~Messages();
  Messages(const Messages&) = delete;
  Messages& operator=(const Messages&) = delete;

  /// From now on a thread writes, and `add` never waits. May be called again. std::system_error
  /// when there can be none.
  void write_in_background();
  /// A line, without its end. Any thread.
  void add(std::string line) noexcept;
  /// Waits until all is written, for `limit` at most.
  void finish(std::chrono::milliseconds limit) noexcept;
  /// Lines that nobody has seen.
  [[nodiscard]] std::uint64_t dropped() const noexcept;
  /// Somebody else has left the terminal amid a line (true): the next message begins a new one.
  void others_line_is_open(bool open) noexcept;

 private:
  struct Shared;
  std::shared_ptr<Shared> shared_;  ///< with the thread, which a stalled reader keeps for ever
};

}  // namespace ferry
