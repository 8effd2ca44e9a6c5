#pragma once

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <exception>
#include <future>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>

#include "migration/net/socket.hpp"
#include "migration/wire/decode.hpp"
#include "migration/wire/encode.hpp"
#include "vmm/os/unique_fd.hpp"

namespace migration {

inline constexpr std::chrono::seconds kPeerDeadline{20};

/// Why a connection failed.
[[nodiscard]] inline std::string reason_of(std::promise<std::exception_ptr>& promise) {
  auto failed = promise.get_future();
  if (failed.wait_for(kPeerDeadline) != std::future_status::ready) return "has not failed";
  try {
    std::rethrow_exception(failed.get());
  } catch (const std::exception& error) {
    return error.what();
  }
}

/// The far end of a fault connection, whichever side that is: plain blocking calls, each with a
/// deadline.
class FaultPeer {
 public:
  FaultPeer() {
    std::array<int, 2> ends{};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) {
      throw std::runtime_error("no socket pair");
    }
    mine_ = vmm::UniqueFd(ends[0]);
    theirs_ = ends[1];
    const timeval limit{kPeerDeadline.count(), 0};
    ::setsockopt(mine_.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  }

  /// The near end, to be given to what is tested. Once.
  [[nodiscard]] net::Socket socket(boost::asio::io_context& context) {
    return {context, boost::asio::generic::stream_protocol(AF_UNIX, 0), std::exchange(theirs_, -1)};
  }

  void send(std::span<const std::byte> bytes) {
    EXPECT_EQ(::send(mine_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(bytes.size()));
  }
  /// With descriptors, two at the most.
  void send_with(std::span<const std::byte> bytes, std::span<const int> files) {
    alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(2 * sizeof(int))> control{};
    iovec part{const_cast<std::byte*>(bytes.data()), bytes.size()};
    msghdr header{};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    header.msg_control = control.data();
    header.msg_controllen = CMSG_SPACE(files.size_bytes());
    cmsghdr* const rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(files.size_bytes());
    std::memcpy(CMSG_DATA(rights), files.data(), files.size_bytes());
    EXPECT_EQ(::sendmsg(mine_.get(), &header, MSG_NOSIGNAL), static_cast<ssize_t>(bytes.size()));
  }
  void send_page(vmm::PageIndex page, wire::PageEncoding encoding, std::span<const std::byte> data,
                 std::uint64_t digest = 0, wire::FrameType type = wire::FrameType::page) {
    wire::Bytes frame;
    wire::put_single_page(frame, type, page, encoding, digest, data.size());
    frame.insert(frame.end(), data.begin(), data.end());
    send(frame);
  }
  void request(vmm::PageIndex page, bool compressed = false) {
    wire::Bytes frame;
    wire::put_request(frame, page, compressed);
    send(frame);
  }

  /// So many bytes; fewer when the connection ends or nothing comes.
  wire::Bytes receive(std::size_t size) {
    wire::Bytes bytes(size);
    std::size_t at = 0;
    while (at < size) {
      const ssize_t got = ::recv(mine_.get(), bytes.data() + at, size - at, 0);
      if (got <= 0) break;
      at += static_cast<std::size_t>(got);
    }
    bytes.resize(at);
    return bytes;
  }
  /// Fills `bytes`; the descriptor that comes with the first of them, or none.
  vmm::UniqueFd receive_with(std::span<std::byte> bytes) {
    alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(sizeof(int))> control{};
    iovec part{bytes.data(), bytes.size()};
    msghdr header{};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    header.msg_control = control.data();
    header.msg_controllen = control.size();
    const ssize_t got = ::recvmsg(mine_.get(), &header, 0);
    EXPECT_GT(got, 0);
    int file = -1;
    const cmsghdr* const rights = CMSG_FIRSTHDR(&header);
    if (rights != nullptr) std::memcpy(&file, CMSG_DATA(rights), sizeof(file));
    const auto rest = bytes.subspan(static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
    std::ranges::copy(receive(rest.size()), rest.begin());
    return vmm::UniqueFd(file);
  }
  /// The payload of the next frame; nullopt when the connection ends or another type comes.
  std::optional<wire::Bytes> receive(wire::FrameType type) {
    const wire::Bytes bytes = receive(wire::kHeaderBytes);
    if (bytes.size() < wire::kHeaderBytes) return std::nullopt;
    const auto header = wire::decode_header(std::span(bytes).first<wire::kHeaderBytes>());
    if (header.type != type) return std::nullopt;
    return receive(header.payload);
  }
  /// The page that is asked for; nullopt when none is.
  std::optional<vmm::PageIndex> receive_request() {
    const auto payload = receive(wire::FrameType::request);
    if (!payload) return std::nullopt;
    return wire::decode_request(*payload, std::uint64_t{1} << 32).page;
  }
  /// Whether the other side has hung up and sent nothing before.
  bool ended() { return ::recv(mine_.get(), std::array<char, 1>{}.data(), 1, 0) == 0; }
  void hang_up() { mine_ = {}; }
  /// What is written to it from now on fails.
  void stop_reading() { ::shutdown(mine_.get(), SHUT_RD); }

 private:
  vmm::UniqueFd mine_;
  int theirs_ = -1;
};

}  // namespace migration
