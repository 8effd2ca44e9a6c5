#include "devices/networks.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <stdexcept>
#include <utility>

#include "devices/network/passt_port.hpp"
#include "devices/network/tap_port.hpp"
#include "devices/virtio/net.hpp"

namespace devices {

namespace {

using Report = std::function<void(std::string)>;

std::shared_ptr<network::NetworkPort> port_of(const NetworkChoice& choice, const Report& report) {
  if (choice.kind == NetworkChoice::Kind::tap) {
    return std::make_shared<network::TapPort>(choice.place, report);
  }
  return std::make_shared<network::PasstPort>(choice.place, report);
}

}  // namespace

PciDevice network_device(const NetworkChoice& choice, Report report) {
  auto port = port_of(choice, report);
  const auto mac = choice.mac ? *choice.mac : network::random_mac_address();
  const auto identity = virtio::Net::identity_of(mac, *port);
  return {choice.id, std::make_shared<virtio::Net>(identity, std::move(port), std::move(report))};
}

PciDevice network_device_for(const vmm::DeviceVersion& wanted, const HostParts& parts) {
  const auto identity = virtio::net_identity(wanted.host_part);
  const auto given = std::ranges::find(parts.networks, wanted.id, &NetworkChoice::id);
  if (given == parts.networks.end()) {
    throw std::invalid_argument(
        fmt::format("the guest has a network device {0}, and this receiver was not told of which "
                    "network: 'ferry receive --net id={0},tap:IFNAME' (or passt:SOCKET)",
                    wanted.id));
  }
  try {
    auto port = port_of(*given, parts.report);
    port->reserve();
    return {wanted.id, std::make_shared<virtio::Net>(identity, std::move(port), parts.report)};
  } catch (const std::invalid_argument& error) {
    throw std::invalid_argument(
        fmt::format("the guest's network device {}: {}", wanted.id, error.what()));
  }
}

}  // namespace devices
