#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstddef>
#include <span>

#include "migration/net/socket.hpp"
#include "vmm/os/unique_fd.hpp"

/// Descriptors beside the bytes of a Unix socket (SCM_RIGHTS).
namespace migration::net {

[[nodiscard]] bool carries_descriptors(const Socket& socket);

/// Writes some of `bytes`, and `file` with them. Returns how many. boost::system::system_error when
/// the link fails.
[[nodiscard]] asio::awaitable<std::size_t> write_with(Socket& socket,
                                                      std::span<const std::byte> bytes, int file);
/// Reads some bytes, at least one, and the descriptor that came with them into `file`, which is
/// left as it is where none did. Returns how many bytes; 0 at the end. wire::ProtocolError for more
/// than one descriptor, or for a second one.
[[nodiscard]] asio::awaitable<std::size_t> read_with(Socket& socket, std::span<std::byte> into,
                                                     vmm::UniqueFd& file);

}  // namespace migration::net
