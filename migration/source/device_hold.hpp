#pragma once

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "migration/net/errand.hpp"
#include "migration/source/device_calls.hpp"
#include "vmm/machine/device.hpp"

namespace migration::source {

/// What the devices of a machine need of the host alone, such as the lock of a disk, once it has
/// been given back: it is taken again by an errand of each device, beside the others. A host that
/// hangs, or a server that is waited for, holds up neither the loop nor the other devices.
class DeviceHold {
 public:
  using Duration = std::chrono::steady_clock::duration;

  /// These may have given back what they had.
  void lacks(Devices devices);
  [[nodiscard]] bool complete() const { return lacking_.empty(); }
  /// Why it is not complete within `limit`; empty when it is. One caller at a time.
  [[nodiscard]] boost::asio::awaitable<std::string> take_again(Duration limit);
  /// The same if they show, once they are here, that the guest has run nowhere else meanwhile; else
  /// they are given back at once. False also when that is not known within `limit`.
  [[nodiscard]] boost::asio::awaitable<bool> take_unused(Duration limit);
  /// It holds on to no device any more.
  void forget() {
    lacking_.clear();
    trial_.reset();
  }

 private:
  using Clock = std::chrono::steady_clock;

  struct Lacking {
    std::shared_ptr<vmm::Device> device;
    std::unique_ptr<net::Errand> taking = nullptr;
    bool taken = false;
  };

  /// By take_unused().
  struct Trial {
    std::shared_ptr<net::Errand> errand;
    std::shared_ptr<std::atomic<bool>> unused;
  };

  [[nodiscard]] Trial try_unused(const boost::asio::any_io_executor& loop) const;
  /// Whether the trial that has begun is over within `limit`.
  [[nodiscard]] boost::asio::awaitable<bool> end_trial(Duration limit);
  /// Why it has not been taken by then; empty when it has.
  [[nodiscard]] static boost::asio::awaitable<std::string> wait(Lacking& lacking,
                                                                Clock::time_point deadline);

  std::vector<Lacking> lacking_;
  std::optional<Trial> trial_;
};

}  // namespace migration::source
