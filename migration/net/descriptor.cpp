#include "migration/net/descriptor.hpp"

#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>
#include <cerrno>
#include <cstring>

#include "migration/wire/format.hpp"

namespace migration::net {

namespace {

/// Not CMSG_SPACE, in which there may be room for two.
constexpr std::size_t kOne = CMSG_LEN(sizeof(int));

struct Message {
  explicit Message(std::span<const std::byte> bytes)
      : part{const_cast<std::byte*>(bytes.data()), bytes.size()} {
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    header.msg_control = control.data();
    header.msg_controllen = kOne;
  }

  iovec part;
  alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(sizeof(int))> control{};
  msghdr header{};
};

/// Until `attempt`, which does not wait, has done something; its result.
template <typename Attempt>
asio::awaitable<std::size_t> repeat(Socket& socket, Socket::wait_type ready, Attempt attempt) {
  for (;;) {
    co_await socket.async_wait(ready, asio::use_awaitable);
    const ssize_t done = attempt(socket.native_handle());
    if (done >= 0) co_return static_cast<std::size_t>(done);
    if (errno != EAGAIN && errno != EINTR) {
      throw boost::system::system_error(errno, boost::system::system_category());
    }
  }
}

void take(const msghdr& header, vmm::UniqueFd& file) {
  const cmsghdr* const first = CMSG_FIRSTHDR(&header);
  if (first != nullptr && first->cmsg_level == SOL_SOCKET && first->cmsg_type == SCM_RIGHTS) {
    int number = -1;
    std::memcpy(&number, CMSG_DATA(first), sizeof(number));
    vmm::UniqueFd came(number);
    if (file.get() >= 0) throw wire::ProtocolError("the peer sent a second descriptor");
    file = std::move(came);
  }
  // The kernel has closed those for which there was no room. One alone that it could not give, for
  // want of a number say, did not come.
  if (first != nullptr && (header.msg_flags & MSG_CTRUNC) != 0) {
    throw wire::ProtocolError("the peer sent more than one descriptor");
  }
}

}  // namespace

bool carries_descriptors(const Socket& socket) {
  return socket.local_endpoint().protocol().family() == AF_UNIX;
}

asio::awaitable<std::size_t> write_with(Socket& socket, std::span<const std::byte> bytes,
                                        int file) {
  Message message(bytes);
  cmsghdr* const rights = CMSG_FIRSTHDR(&message.header);
  rights->cmsg_level = SOL_SOCKET;
  rights->cmsg_type = SCM_RIGHTS;
  rights->cmsg_len = kOne;
  std::memcpy(CMSG_DATA(rights), &file, sizeof(file));
  co_return co_await repeat(socket, Socket::wait_write, [&message](int to) {
    return ::sendmsg(to, &message.header, MSG_DONTWAIT | MSG_NOSIGNAL);
  });
}

asio::awaitable<std::size_t> read_with(Socket& socket, std::span<std::byte> into,
                                       vmm::UniqueFd& file) {
  Message message(into);
  const std::size_t got = co_await repeat(socket, Socket::wait_read, [&message](int from) {
    message.header.msg_controllen = kOne;
    return ::recvmsg(from, &message.header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  });
  take(message.header, file);
  co_return got;
}

}  // namespace migration::net
