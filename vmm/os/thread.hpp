#pragma once

#include <pthread.h>

#include <exception>
#include <functional>
#include <thread>

namespace vmm {

/// What a thread is for. Its name and the signals that it takes follow from that.
enum class ThreadRole {
  vcpu,       ///< named by its number too; takes kick_signal()
  migration,  ///< the event loop of either side
  faults,     ///< asks for pages that are missing, or answers
  pages_in,
  pages_out,
  hashes,
  messages,
  look_up,
  forecast,
  device,  ///< serves the queue of its number, or waits for the host on a device's behalf
};

/// For a body that throws nothing.
[[noreturn]] void nothing_escapes(const std::exception_ptr& failure);

/// Makes KVM_RUN return, sent to the thread of one vCPU.
[[nodiscard]] int kick_signal();

/// The one way to make a thread. It takes no signal but those that its own instructions cause, and
/// a vCPU's the kick: all others are the main thread's, and cut no system call short here.
class Thread {
 public:
  using Escaped = std::function<void(std::exception_ptr)>;

  Thread() = default;
  /// `escaped` is called in the thread with what `body` throws, as the thread's last act: it puts
  /// things right, or says who does, and throws nothing itself.
  /// std::system_error says what limits the number of threads.
  Thread(ThreadRole role, std::function<void()> body, Escaped escaped, unsigned number = 0);

  [[nodiscard]] bool joinable() const { return thread_.joinable(); }
  void join() { thread_.join(); }
  /// For a thread that owns all that it uses: it may outlive everybody.
  void detach() { thread_.detach(); }
  [[nodiscard]] pthread_t native_handle() { return thread_.native_handle(); }

 private:
  std::thread thread_;
};

}  // namespace vmm
