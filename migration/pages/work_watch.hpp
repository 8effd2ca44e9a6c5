#pragma once

#include <chrono>
#include <utility>

#include "migration/base/elapsed.hpp"
#include "migration/policy/channel_policy.hpp"
#include "vmm/os/thread_time.hpp"

namespace migration {

/// What the thread that made it has done, from one look to the next.
class WorkWatch {
 public:
  /// From now on.
  void begin() {
    at_ = std::chrono::steady_clock::now();
    spent_ = time_.spent();
  }
  /// Since the last look, or begin().
  [[nodiscard]] ChannelPolicy::Work look() {
    const auto [at, spent] = std::pair(at_, spent_);
    begin();
    return {spent_.ran - spent.ran, spent_.waited - spent.waited, ms_between(at, at_) / 1000};
  }

 private:
  vmm::ThreadTime time_;
  std::chrono::steady_clock::time_point at_;
  vmm::ThreadTime::Spent spent_;
};

}  // namespace migration
