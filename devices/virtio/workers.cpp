#include "devices/virtio/workers.hpp"

#include <system_error>
#include <utility>

namespace devices::virtio {

Workers::~Workers() {
  std::vector<vmm::Thread> threads;
  {
    const vmm::Lock lock(mutex_);
    over_ = true;
    threads = std::move(threads_);
    changed_.notify_all();
  }
  for (vmm::Thread& thread : threads) thread.join();
}

void Workers::give(std::function<void()> work) {
  {
    const vmm::Lock lock(mutex_);
    // Some of the idle ones may be about to wake up for what waits already.
    if (idle_ <= waiting_.size() && threads_.size() < most_) start_one();
    if (!threads_.empty()) {
      waiting_.push_back(std::move(work));
      changed_.notify_one();
      return;
    }
  }
  work();
}

void Workers::start_one() {
  try {
    threads_.emplace_back(
        vmm::ThreadRole::device, [this] { run(); }, vmm::nothing_escapes);
  } catch (const std::system_error&) {  // no thread to have: others do the work
  }
}

void Workers::run() {
  vmm::Lock lock(mutex_);
  for (;;) {
    ++idle_;
    changed_.wait(lock, [this]() FERRY_REQUIRES(mutex_) { return over_ || !waiting_.empty(); });
    --idle_;
    if (waiting_.empty()) return;
    const auto work = std::move(waiting_.front());
    waiting_.pop_front();
    lock.unlock();
    work();
    lock.lock();
  }
}

}  // namespace devices::virtio
