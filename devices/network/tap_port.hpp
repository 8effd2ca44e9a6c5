#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>

#include "devices/network/network_port.hpp"
#include "devices/network/readiness.hpp"
#include "vmm/os/unique_fd.hpp"

namespace devices::network {

/// A TAP interface of the host, which somebody has made.
class TapPort final : public NetworkPort {
 public:
  /// std::system_error when there is no such interface. `report`: is told when it has gone.
  TapPort(std::string interface, std::function<void(std::string)> report);

  [[nodiscard]] std::string name() const override { return "tap:" + interface_; }
  [[nodiscard]] std::uint64_t offloads() const override { return Offloads::kAll; }
  [[nodiscard]] std::optional<std::uint16_t> mtu() const override { return mtu_; }
  /// A bridge takes up to some ms to use a port from when its TAP is opened.
  void reserve() override;
  void open() override;
  void close() override;
  void use(std::uint64_t offloads) override;
  [[nodiscard]] int descriptor() const override { return ready_.get(); }
  [[nodiscard]] bool linked() const override { return linked_; }

 private:
  [[nodiscard]] bool do_send(const FrameHeader& header, std::span<const iovec> frame) override;
  [[nodiscard]] std::optional<std::size_t> do_receive(FrameHeader& header,
                                                      std::span<const iovec> into) override;
  void attach();
  [[nodiscard]] bool drop_waiting();
  void lost();

  const std::string interface_;
  const std::function<void(std::string)> report_;
  std::optional<std::uint16_t> mtu_;
  const Readiness ready_;
  vmm::UniqueFd fd_;
  std::uint64_t offloads_ = 0;
  bool reserved_ = false;
  std::atomic<bool> linked_{false};
};

}  // namespace devices::network
