#include "devices/network/mac_address.hpp"

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <random>

namespace devices::network {

namespace {

// Of the first byte.
constexpr std::uint8_t kGroup = 1;
constexpr std::uint8_t kLocal = 2;

}  // namespace

std::optional<MacAddress> mac_address(std::string_view text) {
  constexpr std::size_t kStep = 3;
  MacAddress mac{};
  if (text.size() != kStep * mac.size() - 1) return std::nullopt;
  for (std::size_t i = 0; i < mac.size(); ++i) {
    const char* at = text.data() + kStep * i;
    const auto [end, error] = std::from_chars(at, at + 2, mac[i], 16);
    if (error != std::errc{} || end != at + 2) return std::nullopt;
    if (i + 1 < mac.size() && *end != ':') return std::nullopt;
  }
  if ((mac[0] & kGroup) != 0 || mac == MacAddress{}) return std::nullopt;
  return mac;
}

MacAddress random_mac_address() {
  std::random_device source;
  MacAddress mac{};
  std::ranges::generate(mac, [&source] { return static_cast<std::uint8_t>(source()); });
  mac[0] = static_cast<std::uint8_t>((mac[0] & ~kGroup) | kLocal);
  return mac;
}

}  // namespace devices::network
