#pragma once

#include <optional>
#include <string>

#include "devices/network/mac_address.hpp"

namespace devices {

/// A network of the host, as a machine is given it.
struct NetworkChoice {
  enum class Kind { tap, passt };

  std::string id;
  Kind kind = Kind::tap;
  std::string place;  ///< an interface, or the path of a socket
  std::optional<network::MacAddress> mac = std::nullopt;
};

}  // namespace devices
