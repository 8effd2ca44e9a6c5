#include "devices/storage/flush_rounds.hpp"

#include <cerrno>
#include <system_error>
#include <utility>

namespace devices::storage {

void FlushRounds::flush(Asked asked) {
  vmm::Lock lock(mutex_);
  if (lost_) {
    lost_ = asked != Asked::by_guest;
    throw loss();
  }
  if (!next_) next_ = std::make_shared<Round>();
  const auto round = next_;
  if (asked == Asked::by_guest) round->of_guest = true;
  changed_.wait(lock,
                [&]() FERRY_REQUIRES(mutex_) { return round->over || under_way_ == nullptr; });
  if (round->over) {
    if (round->failed) throw loss();
    return;
  }
  under_way_ = std::exchange(next_, nullptr);
  lock.unlock();
  try {
    flush_();
  } catch (...) {
    lock.lock();
    end(*round, true);
    throw;
  }
  lock.lock();
  end(*round, false);
}

void FlushRounds::end(Round& round, bool failed) {
  under_way_ = nullptr;
  round.over = true;
  round.failed = failed;
  if (failed) {
    lost_ = !round.of_guest;
    if (const auto waiting = std::exchange(next_, nullptr)) {
      waiting->over = waiting->failed = true;
      if (waiting->of_guest) lost_ = false;
    }
  }
  changed_.notify_all();
}

std::system_error FlushRounds::loss() const {
  return {EIO, std::generic_category(), disk_ + ": has lost what was written"};
}

bool FlushRounds::lost() const {
  const vmm::Lock lock(mutex_);
  return lost_;
}

}  // namespace devices::storage
