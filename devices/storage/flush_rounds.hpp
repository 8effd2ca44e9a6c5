#pragma once

#include <functional>
#include <memory>
#include <string>
#include <system_error>
#include <utility>

#include "vmm/os/mutex.hpp"

namespace devices::storage {

/// The flushes of a disk, one at a time. Those that are asked for while one is under way wait for
/// the next, which answers them all: each is answered by one that began after it was asked for.
///
/// The host tells of a write that it has lost once, to whichever flush is under way. Those that
/// waited meanwhile hear of it too, and the guest does the next time, if none of them was its own.
///
/// Any thread, several at a time.
class FlushRounds {
 public:
  enum class Asked { by_guest, by_host };

  /// `disk`: for people. `flush` waits for the host, as long as that takes.
  FlushRounds(std::string disk, std::function<void()> flush)
      : disk_(std::move(disk)), flush_(std::move(flush)) {}

  /// Throws what `flush` threw; std::system_error where another caller has heard that.
  void flush(Asked asked);
  /// Whether the guest has yet to hear of a loss.
  [[nodiscard]] bool lost() const;

 private:
  struct Round {
    bool of_guest = false;  ///< some of those who wait for it
    bool over = false;
    bool failed = false;
  };

  [[nodiscard]] std::system_error loss() const;
  void end(Round& round, bool failed) FERRY_REQUIRES(mutex_);

  const std::string disk_;
  const std::function<void()> flush_;
  mutable vmm::Mutex mutex_;
  vmm::Condition changed_;
  std::shared_ptr<Round> under_way_ FERRY_GUARDED_BY(mutex_);
  std::shared_ptr<Round> next_ FERRY_GUARDED_BY(mutex_);  ///< once somebody waits for it
  bool lost_ FERRY_GUARDED_BY(mutex_) = false;            ///< and the guest does not know it
};

}  // namespace devices::storage
