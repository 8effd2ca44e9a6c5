#pragma once

#include <string_view>

#include "devices/network_choice.hpp"

namespace ferry {

// Parsers: std::invalid_argument says what is wrong.

/// tap:IFNAME or passt:SOCKET, then [,mac=MAC][,id=NAME]: what is not given is chosen later.
[[nodiscard]] devices::NetworkChoice parse_network(std::string_view text);
/// id=NAME,tap:IFNAME or id=NAME,passt:SOCKET
[[nodiscard]] devices::NetworkChoice parse_network_place(std::string_view text);

}  // namespace ferry
