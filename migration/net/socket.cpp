#include "migration/net/socket.hpp"

#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cstring>
#include <memory>
#include <system_error>
#include <utility>
#include <vector>

#include "migration/net/lookup.hpp"

namespace migration::net {

namespace {

using boost::system::error_code;
using Clock = std::chrono::steady_clock;

asio::awaitable<error_code> connect(std::shared_ptr<Socket> socket, Endpoint endpoint,
                                    Clock::duration limit) {
  error_code error;
  socket->open(endpoint.protocol(), error);
  if (error) co_return error;
  asio::steady_timer deadline(socket->get_executor(), limit);
  const auto late = std::make_shared<bool>(false);
  // It may be called when all of this is over: then the socket is somebody else's.
  deadline.async_wait([late, weak = std::weak_ptr(socket)](error_code cancelled) {
    const auto connecting = weak.lock();
    if (cancelled || !connecting) return;
    *late = true;
    error_code ignored;
    connecting->close(ignored);
  });
  co_await socket->async_connect(endpoint, asio::redirect_error(asio::use_awaitable, error));
  co_return *late ? error_code(asio::error::timed_out) : error;
}

}  // namespace

asio::awaitable<Socket> dial(Address address, std::chrono::milliseconds timeout) {
  const auto executor = co_await asio::this_coro::executor;
  const auto end = Clock::now() + timeout;
  const std::vector<Endpoint> endpoints = co_await look_up(address, timeout);
  error_code error;
  for (std::size_t i = 0; i < endpoints.size(); ++i) {
    auto socket = std::make_shared<Socket>(executor);
    const auto share = (end - Clock::now()) / static_cast<int>(endpoints.size() - i);
    error = co_await connect(socket, endpoints[i], share);
    if (error) continue;
    tune(*socket, timeout);
    co_return std::move(*socket);
  }
  throw std::system_error(error.value(), std::system_category(),
                          fmt::format("cannot connect to {}", to_string(address)));
}

Address peer_address(const Socket& socket, const Address& asked) {
  if (asked.kind == Address::Kind::unix_socket) return asked;
  error_code error;
  const Endpoint peer = socket.remote_endpoint(error);
  if (error) return asked;
  asio::ip::tcp::endpoint there;
  if (peer.size() > there.capacity()) return asked;
  std::memcpy(there.data(), peer.data(), peer.size());
  there.resize(peer.size());
  Address address = asked;
  address.host = there.address().to_string();
  address.port = there.port();
  return address;
}

/// Firewalls and translators of addresses forget what is silent for some minutes.
constexpr int kKeepAliveSeconds = 60;

void tune(Socket& socket, std::chrono::milliseconds timeout) {
  if (socket.local_endpoint().protocol().family() == AF_UNIX) return;
  const int one = 1;
  const auto milliseconds = static_cast<unsigned>(timeout.count());
  const int fd = socket.native_handle();
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
  ::setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &milliseconds, sizeof(milliseconds));
  // Finds a peer that vanished while nothing is being sent to it. What is between forgets a channel
  // that waits for its turn less soon.
  ::setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
  ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &kKeepAliveSeconds, sizeof(kKeepAliveSeconds));
}

void tune_bulk(Socket& socket) {
  // Much more than any link carries in the longest round trip that counts as short.
  constexpr std::uint32_t kShortRoundTripUs = 100;
  constexpr int kSendBuffer = 1 << 20;  // the kernel doubles it
  if (socket.local_endpoint().protocol().family() == AF_UNIX) return;
  tcp_info info{};
  socklen_t size = sizeof(info);
  const int fd = socket.native_handle();
  if (::getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) < 0) return;
  if (info.tcpi_rtt > kShortRoundTripUs) return;
  ::setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &kSendBuffer, sizeof(kSendBuffer));
}

}  // namespace migration::net
