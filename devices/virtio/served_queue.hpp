#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "devices/virtio/poll_window.hpp"
#include "devices/virtio/queue.hpp"
#include "vmm/os/event_fd.hpp"
#include "vmm/os/mutex.hpp"
#include "vmm/os/thread.hpp"

namespace devices::virtio {

/// A queue that a device serves, in a thread of its own. Born paused.
///
///   the driver notifies --> serve: take() ... --> complete(), in any thread --> interrupt
///
/// Whoever touches a page of the guest that is missing waits for it: here that is never a thread
/// which holds what pausing needs.
class ServedQueue {
 public:
  using Deadline = std::optional<std::chrono::steady_clock::time_point>;
  struct Callbacks {
    /// There may be requests. In the queue's thread.
    std::function<void(ServedQueue&)> serve;
    /// A descriptor, or -1: while it is readable, requests that are left in the queue are served
    /// too. It stays the same.
    int source = -1;
    /// As VirtioDevice::writes().
    bool writes = true;
    /// The driver wants to hear of what is complete. Any thread.
    std::function<void()> interrupt;
    /// The driver has broken the rules, how it says: no more requests come. Once; any thread.
    std::function<void(const std::string&)> broken;
  };

  /// `notified` is signalled when the driver notifies, and outlives this object. `number` of the
  /// queue, for its thread's name. std::system_error when there is no thread to have.
  ServedQueue(const Queue& queue, vmm::EventFd& notified, Callbacks callbacks, unsigned number);
  ~ServedQueue();
  ServedQueue(const ServedQueue&) = delete;
  ServedQueue& operator=(const ServedQueue&) = delete;

  // For the device.

  /// The next request; nullopt when there is none now, or none is to be begun. What the device
  /// reads of it is there, and not missing. In the queue's thread.
  [[nodiscard]] std::optional<Request> take();
  /// The last one that was taken, and is neither complete nor put back, is served later, here or
  /// elsewhere. Of a device that takes its requests and completes them in one thread.
  void put_back();
  /// Of a request's writable memory `bytes` may have been written, from the start, and it is put
  /// back, or completed with fewer.
  void note_written(const Request& request, std::uint64_t bytes) const {
    queue_.note_written(request, bytes);
  }
  /// These are done, and the driver sees all of them or none.
  void complete(std::span<const Completion> done);
  /// Of a request's writable memory `written` bytes were written, from the start.
  void complete(const Request& request, std::uint32_t written) {
    const Completion one{.request = &request, .written = written};
    complete({&one, 1});
  }

  // For the transport.

  void resume();
  /// No request is begun from now on.
  void request_pause();
  /// After it: whether nothing is under way, by `deadline` where there is one.
  [[nodiscard]] bool wait_paused(const Deadline& deadline);
  /// Nothing is under way any more on return, nor will be: the thread is over. Once; the destructor
  /// does it, too.
  void stop();
  // While it is paused: as of its Queue.
  [[nodiscard]] QueueState state() const { return queue_.state(); }
  [[nodiscard]] std::vector<vmm::PageIndex> working_set(std::size_t most) const {
    return queue_.working_set(most);
  }

 private:
  /// What requests are left in the queue for.
  enum class Left { nothing, for_source, for_room };

  void run();
  void wait(Left left) const;
  [[nodiscard]] Left serve_all();
  [[nodiscard]] bool poll();
  [[nodiscard]] bool begin();
  void finish(unsigned count = 1);
  void fail(const std::string& why);

  vmm::EventFd& notified_;
  const Callbacks callbacks_;
  vmm::Mutex queue_mutex_;                             ///< whoever holds it may wait for a page
  Queue queue_;                                        ///< its changes
  PollWindow poll_;                                    ///< in its thread
  std::chrono::steady_clock::time_point empty_since_;  ///< likewise
  bool lacks_room_ = false;  ///< in its thread: RAM is a file without room for the next request
  vmm::Mutex mutex_;
  vmm::Condition idle_;
  bool paused_ FERRY_GUARDED_BY(mutex_) = true;
  bool broken_ FERRY_GUARDED_BY(mutex_) = false;
  bool over_ FERRY_GUARDED_BY(mutex_) = false;
  /// Requests that are taken, and serve() while it is called.
  unsigned under_way_ FERRY_GUARDED_BY(mutex_) = 0;
  vmm::Thread thread_;
};

}  // namespace devices::virtio
