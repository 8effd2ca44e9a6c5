#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <memory>

#include "devices/network/mac_address.hpp"
#include "devices/network/network_port.hpp"
#include "vmm/os/mutex.hpp"
#include "vmm/os/thread.hpp"

namespace devices::network {

/// Tells a network where a guest is now: frames that come from its address, which every switch
/// learns from and nobody answers (RARP, RFC 903). Born paused.
class Announcer {
 public:
  static constexpr std::size_t kRarp = 60;  ///< bytes
  /// From one announcement to the next: some switches take a while for a port that is new.
  static constexpr std::array<std::chrono::milliseconds, 4> kPauses = {
      std::chrono::milliseconds{50}, std::chrono::milliseconds{150}, std::chrono::milliseconds{250},
      std::chrono::milliseconds{350}};

  Announcer(MacAddress mac, std::shared_ptr<NetworkPort> port);
  ~Announcer();
  Announcer(const Announcer&) = delete;
  Announcer& operator=(const Announcer&) = delete;

  /// The first one goes out as soon as it is not paused, then the others.
  void begin();
  void resume();
  /// None goes out after it, and it waits for nothing.
  void pause();

  [[nodiscard]] static std::array<std::byte, kRarp> frame_of(const MacAddress& mac);

 private:
  using Clock = std::chrono::steady_clock;

  void run();
  void announce() FERRY_REQUIRES(mutex_);

  const MacAddress mac_;
  const std::shared_ptr<NetworkPort> port_;
  vmm::Mutex mutex_;
  vmm::Condition changed_;
  std::size_t sent_ FERRY_GUARDED_BY(mutex_) = kPauses.size() + 1;  ///< of the announcements
  Clock::time_point next_ FERRY_GUARDED_BY(mutex_);
  bool paused_ FERRY_GUARDED_BY(mutex_) = true;
  bool over_ FERRY_GUARDED_BY(mutex_) = false;
  vmm::Thread thread_;
};

}  // namespace devices::network
