#include "ferry/network_options.hpp"

#include <fmt/format.h>
#include <net/if.h>

#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

#include "devices/network/mac_address.hpp"
#include "ferry/options.hpp"
#include "vmm/machine/device_list.hpp"

namespace ferry {

namespace {

constexpr std::string_view kMac = "mac=";
constexpr std::string_view kTap = "tap:";
constexpr std::string_view kPasst = "passt:";

devices::network::MacAddress mac_address(std::string_view text) {
  const auto mac = devices::network::mac_address(text);
  if (!mac) {
    throw std::invalid_argument(
        fmt::format("'{}' is no MAC address of one device, such as 02:00:00:00:00:01", text));
  }
  return *mac;
}

devices::NetworkChoice place_of(std::string_view text) {
  if (text.starts_with(kTap)) {
    const std::string_view interface = text.substr(kTap.size());
    if (interface.empty() || interface.size() >= IFNAMSIZ) {
      throw std::invalid_argument(
          fmt::format("an interface's name has 1 to {} bytes", IFNAMSIZ - 1));
    }
    return {.id = {}, .kind = devices::NetworkChoice::Kind::tap, .place = std::string(interface)};
  }
  if (text.starts_with(kPasst)) {
    return {.id = {},
            .kind = devices::NetworkChoice::Kind::passt,
            .place = parse_socket_path(text.substr(kPasst.size()))};
  }
  throw std::invalid_argument(fmt::format("'{}' is neither tap:IFNAME nor passt:SOCKET", text));
}

}  // namespace

devices::NetworkChoice parse_network(std::string_view text) {
  std::string id;
  std::optional<devices::network::MacAddress> mac;
  // From the end, since a path may have commas.
  for (auto comma = text.rfind(','); comma != std::string_view::npos; comma = text.rfind(',')) {
    const std::string_view word = text.substr(comma + 1);
    if (word.starts_with(kMac)) {
      mac = mac_address(word.substr(kMac.size()));
    } else if (word.starts_with(kIdWord)) {
      id = parse_device_id(word.substr(kIdWord.size()), vmm::kMaxDeviceId);
    } else {
      break;
    }
    text = text.substr(0, comma);
  }
  devices::NetworkChoice network = place_of(text);
  network.id = std::move(id);
  network.mac = mac;
  return network;
}

devices::NetworkChoice parse_network_place(std::string_view text) {
  const auto comma = text.find(',');
  if (!text.starts_with(kIdWord) || comma == std::string_view::npos) {
    throw std::invalid_argument(
        "needs id=NAME,tap:IFNAME or id=NAME,passt:SOCKET: the guest's network device, and which "
        "network is its here");
  }
  devices::NetworkChoice network = place_of(text.substr(comma + 1));
  network.id =
      parse_device_id(text.substr(kIdWord.size(), comma - kIdWord.size()), vmm::kMaxDeviceId);
  return network;
}

}  // namespace ferry
