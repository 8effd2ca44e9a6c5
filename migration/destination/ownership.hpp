#pragma once

#include "migration/handover/destination_side.hpp"
#include "vmm/os/mutex.hpp"

namespace migration::destination {

/// Who owns the VM, for two threads: the receiver's tells the rules what has happened, and an
/// operator's word may come to them from another one at any time.
class Ownership {
 public:
  using Stage = handover::DestinationSide::Stage;
  using Event = handover::DestinationSide::Event;

  /// What an event has led to.
  struct Change {
    Stage before{};
    handover::Step step;
    Stage after{};
  };

  Change advance(Event event) {
    const vmm::Lock lock(mutex_);
    Change change;
    change.before = handover_.stage();
    change.step = handover_.advance(event);
    change.after = handover_.stage();
    return change;
  }
  [[nodiscard]] Stage stage() const {
    const vmm::Lock lock(mutex_);
    return handover_.stage();
  }
  [[nodiscard]] bool allows(Event event) const {
    const vmm::Lock lock(mutex_);
    return handover_.allows(event);
  }

 private:
  mutable vmm::Mutex mutex_;
  handover::DestinationHandover handover_ FERRY_GUARDED_BY(mutex_);
};

}  // namespace migration::destination
