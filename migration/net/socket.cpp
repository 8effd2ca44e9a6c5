#include "migration/net/socket.hpp"

#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cstring>
#include <system_error>
#include <vector>

namespace migration::net {

namespace {

using Endpoint = asio::generic::stream_protocol::endpoint;
using boost::system::error_code;

[[noreturn]] void fail(const error_code& error, std::string_view doing, const Address& address) {
  throw std::system_error(error.value(), std::system_category(),
                          fmt::format("{} {}", doing, to_string(address)));
}

Endpoint unix_endpoint(const Address& address) {
  return asio::local::stream_protocol::endpoint(address.path);
}

/// A socket file that nobody listens on any more is left over from a process that died.
void remove_if_stale(const Address& address) {
  struct stat status {};
  if (::stat(address.path.c_str(), &status) != 0 || !S_ISSOCK(status.st_mode)) return;
  asio::io_context context;
  Socket probe(context);
  error_code error;
  probe.connect(unix_endpoint(address), error);
  if (error == asio::error::connection_refused) ::unlink(address.path.c_str());
}

}  // namespace

asio::awaitable<Socket> dial(Address address, std::chrono::milliseconds timeout) {
  const auto executor = co_await asio::this_coro::executor;
  std::vector<Endpoint> endpoints;
  error_code error;
  if (address.kind == Address::Kind::unix_socket) {
    endpoints.push_back(unix_endpoint(address));
  } else if (const auto ip = asio::ip::make_address(address.host, error); !error) {
    endpoints.push_back(asio::ip::tcp::endpoint(ip, address.port));
  } else {
    asio::ip::tcp::resolver resolver(executor);
    error = {};
    const auto found =
        co_await resolver.async_resolve(address.host, std::to_string(address.port),
                                        asio::redirect_error(asio::use_awaitable, error));
    if (error) {
      throw std::system_error(
          EHOSTUNREACH, std::generic_category(),
          fmt::format("cannot resolve {}: {}", to_string(address), error.message()));
    }
    for (const auto& entry : found) endpoints.push_back(entry.endpoint());
  }
  Socket socket(executor);
  asio::steady_timer deadline(executor, timeout);
  bool late = false;
  deadline.async_wait([&](error_code cancelled) {
    if (cancelled) return;
    late = true;
    error_code ignored;
    socket.close(ignored);
  });
  for (const Endpoint& endpoint : endpoints) {
    error = {};
    if (socket.is_open()) socket.close();
    socket.open(endpoint.protocol());
    co_await socket.async_connect(endpoint, asio::redirect_error(asio::use_awaitable, error));
    if (!error || late) break;
  }
  // The handler refers to this frame: it must have run, or never run, before the frame goes.
  if (deadline.cancel() == 0 && !late) {
    co_await asio::this_coro::throw_if_cancelled(false);
    co_await asio::post(executor, asio::use_awaitable);
    co_await asio::this_coro::throw_if_cancelled(true);
  }
  if (late) error = asio::error::timed_out;
  if (error) fail(error, "cannot connect to", address);
  tune(socket, timeout);
  co_return socket;
}

Acceptor listen(asio::io_context& context, const Address& address) {
  Acceptor acceptor(context);
  Endpoint endpoint;
  error_code error;
  if (address.kind == Address::Kind::unix_socket) {
    remove_if_stale(address);
    endpoint = unix_endpoint(address);
  } else {
    asio::ip::tcp::resolver resolver(context);
    const auto found = resolver.resolve(address.host, std::to_string(address.port),
                                        asio::ip::resolver_base::passive, error);
    if (error) {
      throw std::system_error(
          EADDRNOTAVAIL, std::generic_category(),
          fmt::format("cannot resolve {}: {}", to_string(address), error.message()));
    }
    endpoint = found.begin()->endpoint();
  }
  acceptor.open(endpoint.protocol(), error);
  if (!error && address.kind == Address::Kind::tcp) {
    acceptor.set_option(asio::socket_base::reuse_address(true), error);
  } else if (!error && ::fchmod(acceptor.native_handle(), S_IRUSR | S_IWUSR) != 0) {
    // The file that bind() makes takes the socket's mode: it is never open to others.
    error = error_code(errno, boost::system::system_category());
  }
  if (!error) acceptor.bind(endpoint, error);
  if (!error) acceptor.listen(asio::socket_base::max_listen_connections, error);
  if (error) fail(error, "cannot listen on", address);
  return acceptor;
}

Address bound_address(const Acceptor& acceptor, const Address& asked) {
  Address address = asked;
  if (address.kind == Address::Kind::tcp) {
    const Endpoint endpoint = acceptor.local_endpoint();
    sockaddr_storage storage{};
    std::memcpy(&storage, endpoint.data(), endpoint.size());
    // The port is at the same place for IPv4 and IPv6.
    address.port = ntohs(reinterpret_cast<const sockaddr_in*>(&storage)->sin_port);
  }
  return address;
}

void tune(Socket& socket, std::chrono::milliseconds timeout) {
  if (socket.local_endpoint().protocol().family() == AF_UNIX) return;
  const int one = 1;
  const auto milliseconds = static_cast<unsigned>(timeout.count());
  const int fd = socket.native_handle();
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
  ::setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &milliseconds, sizeof(milliseconds));
  // Finds a peer that vanished while nothing is being sent to it.
  ::setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
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
