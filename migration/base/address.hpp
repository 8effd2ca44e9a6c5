#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace migration {

/// Where a peer listens: "tcp:HOST:PORT" (HOST a name, an IPv4 address, or an IPv6 address in
/// brackets) or "unix:PATH". Port 0 lets the system choose when listening.
struct Address {
  enum class Kind { tcp, unix_socket };
  Kind kind = Kind::tcp;
  std::string host;  ///< tcp
  std::uint16_t port = 0;
  std::string path;  ///< unix

  bool operator==(const Address&) const = default;
};

/// Throws std::invalid_argument that says what is wrong with `text`.
[[nodiscard]] Address parse_address(std::string_view text);
/// The same for one to dial: not port 0, and not an address that stands for all of a host's own.
[[nodiscard]] Address parse_destination(std::string_view text);
[[nodiscard]] std::string to_string(const Address& address);

}  // namespace migration
