#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "devices/network/announcer.hpp"
#include "devices/network/mac_address.hpp"
#include "devices/network/network_port.hpp"
#include "devices/virtio/net_identity.hpp"
#include "devices/virtio/virtio_device.hpp"

namespace devices::virtio {

/// The network device (virtio 1.2, section 5.1): one queue each way, and one to control it.
class Net final : public VirtioDevice {
 public:
  // Features of its own, besides network::Offloads.
  static constexpr std::uint64_t kMtu = 1U << 3;
  static constexpr std::uint64_t kMac = 1U << 5;
  static constexpr std::uint64_t kMergeableBuffers = 1U << 15;
  static constexpr std::uint64_t kStatus = 1U << 16;
  static constexpr std::uint64_t kControlQueue = 1U << 17;
  static constexpr std::uint64_t kGuestAnnounce = 1U << 21;

  // Of the status in its configuration.
  static constexpr std::uint16_t kLinkUp = 1;
  static constexpr std::uint16_t kAnnounce = 2;

  static constexpr unsigned kReceiveQueue = 0;
  static constexpr unsigned kSendQueue = 1;
  static constexpr unsigned kControl = 2;

  /// Is told when the host fails it. Any thread.
  using Report = std::function<void(std::string)>;

  /// What a guest that starts here is given with this port.
  [[nodiscard]] static NetIdentity identity_of(const network::MacAddress& mac,
                                               const network::NetworkPort& port);

  /// std::invalid_argument when the port lacks what the guest may rely on.
  Net(const NetIdentity& identity, std::shared_ptr<network::NetworkPort> port, Report report);

  [[nodiscard]] std::uint16_t type() const override { return 1; }
  [[nodiscard]] std::uint64_t features() const override;
  [[nodiscard]] std::span<const std::uint16_t> queue_sizes() const override { return kSizes; }
  [[nodiscard]] std::vector<std::byte> config() const override;
  [[nodiscard]] std::string host_part() const override { return to_text(identity_); }
  [[nodiscard]] std::string about() const override;
  void acquire() override;
  void release() override;
  void resumed() override;
  void request_pause() override;
  void arrived() override;
  void begin(std::uint64_t features) override;
  void serve(unsigned index, ServedQueue& queue) override;
  [[nodiscard]] int source(unsigned index) const override;

 private:
  static constexpr std::array<std::uint16_t, 3> kSizes = {256, 256, 64};

  class Buffers;

  void receive(ServedQueue& queue);
  void send(ServedQueue& queue);
  void control(ServedQueue& queue);
  [[nodiscard]] bool for_guest(network::FrameHeader& header) const;
  void look_at_link();

  const NetIdentity identity_;
  const std::shared_ptr<network::NetworkPort> port_;
  const Report report_;
  std::atomic<std::uint64_t> features_{0};  ///< that the driver has chosen
  std::atomic<bool> link_{false};           ///< as the driver was told
  std::atomic<bool> announce_{false};       ///< it is asked to, and has not said that it did
  bool acquired_ = false;                   ///< ever
  bool tell_ = false;                       ///< the driver, as soon as it runs
  network::Announcer announcer_;            ///< last: it uses the port
};

}  // namespace devices::virtio
