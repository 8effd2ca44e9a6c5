#pragma once

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "migration/net/errand.hpp"
#include "migration/source/device_calls.hpp"
#include "vmm/machine/device.hpp"

namespace migration::source {

/// What the devices of a machine have of the host alone, such as the lock of a disk: it is given
/// back, and taken again. Each device is an errand, beside the others: a host that hangs, or a
/// server that is waited for, holds up neither the loop nor the other devices.
class DeviceHold {
 public:
  using Duration = std::chrono::steady_clock::duration;

  /// For the first time. std::runtime_error that names a device when one has not within `limit`;
  /// others may have.
  [[nodiscard]] boost::asio::awaitable<void> give_back(Devices devices, Duration limit);
  [[nodiscard]] bool complete() const { return given_.empty(); }
  /// Why it is not complete within `limit`; empty when it is. One caller at a time, be it beside
  /// one that waits in give_back().
  [[nodiscard]] boost::asio::awaitable<std::string> take_again(Duration limit);
  /// The same if they show, once they are here, that the guest has run nowhere else meanwhile; else
  /// they are given back at once. False also when that is not known within `limit`.
  [[nodiscard]] boost::asio::awaitable<bool> take_unused(Duration limit);
  /// It holds on to no device any more.
  void forget() {
    given_.clear();
    trial_.reset();
  }

 private:
  using Clock = std::chrono::steady_clock;
  using Call = void (vmm::Device::*)();

  /// One that has given back, or is about to.
  struct Given {
    std::shared_ptr<vmm::Device> device;
    std::shared_ptr<net::Errand> giving = nullptr;
    std::shared_ptr<net::Errand> taking = nullptr;
    bool taken = false;
  };
  struct Outcome {
    bool over = false;
    std::string trouble = {};
  };

  /// By take_unused().
  struct Trial {
    std::shared_ptr<net::Errand> errand;
    std::shared_ptr<std::atomic<bool>> unused;
  };

  [[nodiscard]] Trial try_unused(const boost::asio::any_io_executor& loop) const;
  /// Whether the trial that has begun is over within `limit`.
  [[nodiscard]] boost::asio::awaitable<bool> end_trial(Duration limit);
  [[nodiscard]] static std::shared_ptr<net::Errand> begin(
      const boost::asio::any_io_executor& loop, const std::shared_ptr<vmm::Device>& device,
      Call call);
  [[nodiscard]] static boost::asio::awaitable<Outcome> wait(std::shared_ptr<vmm::Device> device,
                                                            std::shared_ptr<net::Errand> errand,
                                                            Clock::time_point deadline);

  std::vector<Given> given_;
  std::optional<Trial> trial_;
};

}  // namespace migration::source
