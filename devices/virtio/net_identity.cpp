#include "devices/virtio/net_identity.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <stdexcept>
#include <system_error>

namespace devices::virtio {

namespace {

constexpr std::string_view kNet = "net ";

[[noreturn]] void unsound(std::string_view text) {
  throw std::invalid_argument(fmt::format("'{}' does not say what a network device is", text));
}

template <typename Number>
Number number(std::string_view digits, int base, std::string_view text) {
  Number value = 0;
  const auto [end, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
  if (digits.empty() || error != std::errc{} || end != digits.data() + digits.size()) {
    unsound(text);
  }
  return value;
}

}  // namespace

std::string to_text(const NetIdentity& identity) {
  std::string text = fmt::format("{}mac={:02x}", kNet, fmt::join(identity.mac, ":"));
  if (identity.mtu) text += fmt::format(" mtu={}", *identity.mtu);
  return text + fmt::format(" offloads={:#x}", identity.offloads);
}

bool is_net_identity(std::string_view text) { return text.starts_with(kNet); }

NetIdentity net_identity(std::string_view text) {
  NetIdentity identity;
  if (!is_net_identity(text)) unsound(text);
  bool has_mac = false;
  for (std::string_view rest = text.substr(kNet.size()); !rest.empty();) {
    const std::string_view word = rest.substr(0, rest.find(' '));
    rest = rest.substr(std::min(rest.size(), word.size() + 1));
    const std::size_t equals = word.find('=');
    if (equals == std::string_view::npos) unsound(text);
    const std::string_view name = word.substr(0, equals);
    const std::string_view value = word.substr(equals + 1);
    if (name == "mac") {
      const auto mac = network::mac_address(value);
      if (!mac) unsound(text);
      identity.mac = *mac;
      has_mac = true;
    } else if (name == "mtu") {
      identity.mtu = number<std::uint16_t>(value, 10, text);
    } else if (name == "offloads" && value.starts_with("0x")) {
      identity.offloads = number<std::uint64_t>(value.substr(2), 16, text);
    } else {
      unsound(text);
    }
  }
  if (!has_mac) unsound(text);
  return identity;
}

}  // namespace devices::virtio
