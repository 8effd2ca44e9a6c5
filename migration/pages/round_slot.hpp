#pragma once

#include <memory>

#include "migration/pages/round.hpp"
#include "vmm/os/mutex.hpp"

namespace migration {

/// The round that a thread is to take up next. Any thread puts it there.
class RoundSlot {
 public:
  void put(std::shared_ptr<Round> round);
  /// There will be none.
  void stop();
  /// Waits for one; null once there will be none.
  [[nodiscard]] std::shared_ptr<Round> take();

 private:
  vmm::Mutex mutex_;
  vmm::Condition changed_;
  std::shared_ptr<Round> next_ FERRY_GUARDED_BY(mutex_);
  bool stopped_ FERRY_GUARDED_BY(mutex_) = false;
};

}  // namespace migration
