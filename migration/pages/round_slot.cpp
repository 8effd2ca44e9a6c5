#include "migration/pages/round_slot.hpp"

#include <utility>

namespace migration {

void RoundSlot::put(std::shared_ptr<Round> round) {
  {
    const vmm::Lock lock(mutex_);
    next_ = std::move(round);
  }
  changed_.notify_all();
}

void RoundSlot::stop() {
  {
    const vmm::Lock lock(mutex_);
    stopped_ = true;
  }
  changed_.notify_all();
}

std::shared_ptr<Round> RoundSlot::take() {
  vmm::Lock lock(mutex_);
  changed_.wait(lock, [this]() FERRY_REQUIRES(mutex_) { return stopped_ || next_; });
  return stopped_ ? nullptr : std::exchange(next_, nullptr);
}

}  // namespace migration
