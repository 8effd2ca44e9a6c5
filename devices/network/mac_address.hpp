#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace devices::network {

using MacAddress = std::array<std::uint8_t, 6>;

/// Of "02:00:00:00:00:01": of one device, and not of a group. Nullopt when it is nothing such.
[[nodiscard]] std::optional<MacAddress> mac_address(std::string_view text);
/// One that nobody has been given, at random.
[[nodiscard]] MacAddress random_mac_address();

}  // namespace devices::network
