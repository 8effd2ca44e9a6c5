#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <vector>

#include "vmm/os/mutex.hpp"
#include "vmm/os/thread.hpp"

namespace devices::virtio {

/// Threads for work that waits for the host. They start as it comes, and end with this object.
class Workers {
 public:
  explicit Workers(unsigned most) : most_(most) {}
  /// All work is done on return.
  ~Workers();
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  /// Does it beside other work, in the order in which it came; at once and in this thread where the
  /// host has no thread to give. `work` throws nothing.
  void give(std::function<void()> work);

 private:
  void run();
  void start_one() FERRY_REQUIRES(mutex_);

  const unsigned most_;
  vmm::Mutex mutex_;
  vmm::Condition changed_;
  std::deque<std::function<void()>> waiting_ FERRY_GUARDED_BY(mutex_);
  std::size_t idle_ FERRY_GUARDED_BY(mutex_) = 0;
  bool over_ FERRY_GUARDED_BY(mutex_) = false;
  std::vector<vmm::Thread> threads_ FERRY_GUARDED_BY(mutex_);
};

}  // namespace devices::virtio
