#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "devices/network/mac_address.hpp"

namespace devices::virtio {

/// What of a network device stays the same wherever its guest is.
struct NetIdentity {
  network::MacAddress mac{};
  std::optional<std::uint16_t> mtu;
  std::uint64_t offloads = 0;  ///< that the guest may rely on

  bool operator==(const NetIdentity&) const = default;
};

/// For people too: "net mac=02:00:00:00:00:01 mtu=1500 offloads=0x1983".
[[nodiscard]] std::string to_text(const NetIdentity& identity);
/// The opposite. std::invalid_argument: the text comes from a peer.
[[nodiscard]] NetIdentity net_identity(std::string_view text);
/// Whether the text of a device's host_part() is of a network device.
[[nodiscard]] bool is_net_identity(std::string_view text);

}  // namespace devices::virtio
