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
  if (!round->over) {
    under_way_ = std::exchange(next_, nullptr);
    lock.unlock();
    const std::exception_ptr failure = attempt();
    lock.lock();
    end(*round, failure);
  }
  if (round->failure) std::rethrow_exception(round->failure);
}

std::exception_ptr FlushRounds::attempt() const {
  try {
    flush_();
  } catch (...) {
    return std::current_exception();
  }
  return nullptr;
}

void FlushRounds::end(Round& round, const std::exception_ptr& failure) {
  under_way_ = nullptr;
  round.over = true;
  round.failure = failure;
  if (failure) {
    lost_ = !round.of_guest;
    if (const auto waiting = std::exchange(next_, nullptr)) {
      waiting->over = true;
      waiting->failure = std::make_exception_ptr(loss());
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
