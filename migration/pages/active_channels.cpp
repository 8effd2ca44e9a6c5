#include "migration/pages/active_channels.hpp"

#include <algorithm>

namespace migration {

ActiveChannels::ActiveChannels(unsigned open, bool as_needed)
    : open_(open), as_needed_(as_needed), policy_(open), most_active_(as_needed ? 1 : open) {}

unsigned ActiveChannels::active() const {
  if (!as_needed_) return open_;
  const vmm::Lock lock(mutex_);
  return policy_.active();
}

unsigned ActiveChannels::most_active() const {
  const vmm::Lock lock(mutex_);
  return most_active_;
}

/// What is urgent goes over one: another would be in the way of those who wait for a page.
unsigned ActiveChannels::active(const Round& round) const {
  return as_needed_ && round.urgent() ? 1 : active();
}

/// One that has no turn in an urgent round gets none before it ends.
bool ActiveChannels::await_turn(unsigned index, const Round& round) {
  vmm::Lock lock(mutex_);
  changed_.wait(lock, [&]() FERRY_REQUIRES(mutex_) {
    return stopped_ || handed_out_ == round.number() ||
           (!round.urgent() && index < policy_.active());
  });
  return !stopped_ && handed_out_ != round.number();
}

void ActiveChannels::handed_out(const Round& round) {
  if (!as_needed_) return;
  {
    const vmm::Lock lock(mutex_);
    handed_out_ = round.number();
  }
  changed_.notify_all();
}

void ActiveChannels::worked(const ChannelPolicy::Work& work) {
  if (!as_needed_) return;
  {
    const vmm::Lock lock(mutex_);
    const unsigned before = policy_.active();
    policy_.worked(work);
    if (policy_.active() <= before) return;
    most_active_ = std::max(most_active_, policy_.active());
  }
  changed_.notify_all();
}

void ActiveChannels::stop() {
  {
    const vmm::Lock lock(mutex_);
    stopped_ = true;
  }
  changed_.notify_all();
}

void ActiveChannels::restart() {
  const vmm::Lock lock(mutex_);
  stopped_ = false;
}

}  // namespace migration
