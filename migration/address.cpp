#include "migration/address.hpp"

#include <fmt/format.h>
#include <sys/un.h>

#include <charconv>
#include <stdexcept>

namespace migration {

namespace {

[[noreturn]] void fail(std::string_view text, std::string_view why) {
  throw std::invalid_argument(
      fmt::format("address '{}': {} (expected tcp:HOST:PORT or unix:PATH)", text, why));
}

}  // namespace

Address parse_address(std::string_view text) {
  Address address;
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

std::string to_string(const Address& address) {
  if (address.kind == Address::Kind::unix_socket) return "unix:" + address.path;
  const bool v6 = address.host.find(':') != std::string::npos;
  return fmt::format("tcp:{}{}{}:{}", v6 ? "[" : "", address.host, v6 ? "]" : "", address.port);
}

}  // namespace migration
