#pragma once

#include <cstdint>

#include "migration/pages/round.hpp"
#include "migration/policy/channel_policy.hpp"
#include "vmm/os/mutex.hpp"

namespace migration {

/// Which of the open channels take chunks of a round: all of a number that was asked for, or as
/// many of them as ChannelPolicy says, the first ones. The others wait until they are needed, or
/// the round is handed out. Any thread.
class ActiveChannels {
 public:
  /// All of so many.
  [[nodiscard]] static ActiveChannels all(unsigned open) { return {open, false}; }
  /// As many as are worth it.
  [[nodiscard]] static ActiveChannels as_needed(unsigned open) { return {open, true}; }

  [[nodiscard]] unsigned open() const { return open_; }
  /// How many share the link, and what else there is for them.
  [[nodiscard]] unsigned active() const;
  /// The same in that round.
  [[nodiscard]] unsigned active(const Round& round) const;
  /// The most that have at a time.
  [[nodiscard]] unsigned most_active() const;

  /// Whether the channel of that index takes chunks now.
  [[nodiscard]] bool has_turn(unsigned index, const Round& round) const {
    return index < active(round);
  }
  /// Waits for that, where it does not. False: the round is handed out, or the channels are
  /// stopped.
  [[nodiscard]] bool await_turn(unsigned index, const Round& round);
  /// A channel has found no chunk any more.
  void handed_out(const Round& round);
  /// As of ChannelPolicy.
  void worked(const ChannelPolicy::Work& work);

  /// Nobody waits any more.
  void stop();
  /// They do again.
  void restart();

 private:
  ActiveChannels(unsigned open, bool as_needed);

  const unsigned open_;
  const bool as_needed_;
  mutable vmm::Mutex mutex_;
  vmm::Condition changed_;
  ChannelPolicy policy_ FERRY_GUARDED_BY(mutex_);
  unsigned most_active_ FERRY_GUARDED_BY(mutex_);
  std::uint32_t handed_out_ FERRY_GUARDED_BY(mutex_) = 0;  ///< the newest round that is
  bool stopped_ FERRY_GUARDED_BY(mutex_) = false;
};

}  // namespace migration
