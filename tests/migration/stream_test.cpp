#include "migration/net/stream.hpp"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <boost/asio/io_context.hpp>
#include <system_error>

#include "tests/migration/fault_peer.hpp"
#include "vmm/os/unique_fd.hpp"

namespace migration::net {
namespace {

/// Until there is something to read, or the end.
void wait_for(const Stream& stream) {
  pollfd fd{stream.fd(), POLLIN, 0};
  ASSERT_EQ(::poll(&fd, 1, static_cast<int>(kPeerDeadline.count()) * 1000), 1);
}

TEST(Stream, ReadsWhatIsReadyAndWaitsForNothing) {
  boost::asio::io_context context;
  FaultPeer peer;
  Stream stream(peer.socket(context));
  std::array<std::byte, 16> into{};
  EXPECT_EQ(stream.read_ready(into), 0U);
  peer.send(std::array{std::byte{1}, std::byte{2}, std::byte{3}});
  EXPECT_EQ(stream.read_ready(into), 3U);
  EXPECT_EQ(into[2], std::byte{3});
  EXPECT_EQ(stream.read_ready(into), 0U);
  peer.hang_up();
  EXPECT_THROW(static_cast<void>(stream.read_ready(into)), std::system_error);
}

TEST(Stream, KnowsNoProcessorWhereALocalPeersBytesArrived) {
  boost::asio::io_context context;
  FaultPeer peer;
  Stream stream(peer.socket(context));
  peer.send(std::array{std::byte{1}});
  EXPECT_LT(stream.arrival_processor(), 0);
}

TEST(Stream, KnowsTheProcessorWhereATcpPeersBytesArrived) {
  const vmm::UniqueFd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  auto* const any = reinterpret_cast<sockaddr*>(&address);
  ASSERT_EQ(::bind(listener.get(), any, size), 0);
  ASSERT_EQ(::listen(listener.get(), 1), 0);
  ASSERT_EQ(::getsockname(listener.get(), any, &size), 0);
  const vmm::UniqueFd peer(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(::connect(peer.get(), any, size), 0);
  boost::asio::io_context context;
  Stream stream({context, boost::asio::generic::stream_protocol(AF_INET, IPPROTO_TCP),
                 ::accept(listener.get(), nullptr, nullptr)});
  ASSERT_EQ(::send(peer.get(), "x", 1, 0), 1);
  wait_for(stream);
  EXPECT_GE(stream.arrival_processor(), 0);
}

}  // namespace
}  // namespace migration::net
