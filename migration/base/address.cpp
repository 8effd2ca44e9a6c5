#include "migration/base/address.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <sys/un.h>

#include <charconv>
#include <cstring>
#include <stdexcept>

#include "vmm/text/printable.hpp"

namespace migration {

namespace {

[[noreturn]] void fail(std::string_view text, std::string_view why) {
  throw std::invalid_argument(fmt::format("address '{}': {} (expected tcp:HOST:PORT or unix:PATH)",
                                          vmm::printable(text), why));
}

/// In any of its forms: 0.0.0.0, 0, 0x0, ::, ::%lo, ::ffff:0.0.0.0.
bool is_unspecified(const std::string& host) {
  in_addr v4{};
  if (::inet_aton(host.c_str(), &v4) != 0) return v4.s_addr == INADDR_ANY;
  in6_addr v6{};
  if (::inet_pton(AF_INET6, host.substr(0, host.find('%')).c_str(), &v6) != 1) return false;
  in6_addr mapped{};  // ::ffff:0.0.0.0
  mapped.s6_addr[10] = mapped.s6_addr[11] = 0xff;
  return std::memcmp(&v6, &in6addr_any, sizeof(v6)) == 0 ||
         std::memcmp(&v6, &mapped, sizeof(v6)) == 0;
}

}  // namespace

Address parse_address(std::string_view text) {
  Address address;
  if (text.find('\0') != std::string_view::npos) fail(text, "there is a zero byte in it");
  if (text.starts_with("unix:")) {
    address.kind = Address::Kind::unix_socket;
    address.path = text.substr(5);
    if (address.path.empty()) fail(text, "the path is empty");
    constexpr std::size_t kLimit = sizeof(sockaddr_un::sun_path) - 1;
    if (address.path.size() > kLimit) {
      fail(text,
           fmt::format("the path has {} bytes and a socket's may have {}: choose a shorter one",
                       address.path.size(), kLimit));
    }
    return address;
  }
  if (!text.starts_with("tcp:")) fail(text, "unknown kind");
  const std::string_view rest = text.substr(4);
  if (rest.starts_with("//")) fail(text, "it is no URL: leave the slashes out");
  const auto colon = rest.rfind(':');
  if (colon == std::string_view::npos || rest.ends_with(']')) fail(text, "no port");
  std::string_view host = rest.substr(0, colon);
  const std::string_view port = rest.substr(colon + 1);
  if (host.starts_with('[') && host.ends_with(']')) {
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string_view::npos) {
    fail(text, "an IPv6 address goes in brackets");
  }
  if (host.empty()) fail(text, "no host");
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), address.port);
  if (error != std::errc{} || end != port.data() + port.size()) {
    fail(text, "the port is not a number from 0 to 65535");
  }
  address.host = host;
  return address;
}

Address parse_destination(std::string_view text) {
  Address address = parse_address(text);
  if (address.kind == Address::Kind::unix_socket) return address;
  if (address.port == 0) {
    throw std::invalid_argument(
        fmt::format("address '{}': port 0 is for listening: give the port that 'ferry receive' "
                    "prints in its line 'listening on'",
                    text));
  }
  if (is_unspecified(address.host)) {
    throw std::invalid_argument(
        fmt::format("address '{}': '{}' is for listening on all of a host's addresses: give the "
                    "name or an address of the host where 'ferry receive' runs",
                    text, address.host));
  }
  return address;
}

std::string to_string(const Address& address) {
  if (address.kind == Address::Kind::unix_socket) return "unix:" + address.path;
  const bool v6 = address.host.find(':') != std::string::npos;
  return fmt::format("tcp:{}{}{}:{}", v6 ? "[" : "", address.host, v6 ? "]" : "", address.port);
}

}  // namespace migration
