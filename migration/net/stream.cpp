#include "migration/net/stream.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <system_error>

namespace migration::net {

namespace {

constexpr const char* kReceiving = "receiving pages from the peer";

/// Takes `count` transferred bytes off the front of `parts`.
std::span<iovec> advance(std::span<iovec> parts, std::size_t count) {
  while (!parts.empty() && count >= parts.front().iov_len) {
    count -= parts.front().iov_len;
    parts = parts.subspan(1);
  }
  if (count > 0) {
    parts.front().iov_base = static_cast<std::byte*>(parts.front().iov_base) + count;
    parts.front().iov_len -= count;
  }
  return parts;
}

/// Calls sendmsg or recvmsg until all parts are done.
template <typename Call>
void transfer_all(std::span<iovec> parts, const char* what, Call call) {
  while (!parts.empty()) {
    msghdr message{};
    message.msg_iov = parts.data();
    message.msg_iovlen = std::min<std::size_t>(parts.size(), IOV_MAX);
    const ssize_t done = call(message);
    if (done < 0 && errno == EINTR) continue;
    if (done == 0) errno = ECONNRESET;
    if (done < 0 && errno == EAGAIN) errno = ETIMEDOUT;  // SO_SNDTIMEO
    if (done <= 0) throw std::system_error(errno, std::generic_category(), what);
    parts = advance(parts, static_cast<std::size_t>(done));
  }
}

}  // namespace

Stream::Stream(Socket socket, std::chrono::milliseconds write_limit) : fd_(-1) {
  socket.native_non_blocking(false);
  const auto seconds = std::chrono::floor<std::chrono::seconds>(write_limit);
  const timeval limit{seconds.count(), std::chrono::microseconds(write_limit - seconds).count()};
  ::setsockopt(socket.native_handle(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
  fd_ = socket.release();
}

Stream::~Stream() { ::close(fd_); }

void Stream::write(std::span<iovec> parts) {
  transfer_all(parts, "sending pages to the peer",
               [this](const msghdr& message) { return ::sendmsg(fd_, &message, MSG_NOSIGNAL); });
}

void Stream::read(std::span<iovec> parts) {
  transfer_all(parts, kReceiving,
               [this](msghdr& message) { return ::recvmsg(fd_, &message, MSG_WAITALL); });
}

std::size_t Stream::read_some(std::span<std::byte> into) { return receive(into, 0); }

std::size_t Stream::read_ready(std::span<std::byte> into) { return receive(into, MSG_DONTWAIT); }

std::size_t Stream::receive(std::span<std::byte> into, int flags) {
  for (;;) {
    const ssize_t done = ::recv(fd_, into.data(), into.size(), flags);
    if (done > 0) return static_cast<std::size_t>(done);
    if (done < 0 && errno == EINTR) continue;
    if (done < 0 && errno == EAGAIN && (flags & MSG_DONTWAIT) != 0) return 0;
    if (done == 0) errno = ECONNRESET;
    throw std::system_error(errno, std::generic_category(), kReceiving);
  }
}

void Stream::limit_unsent(std::size_t bytes) {
  const auto limit = static_cast<unsigned>(bytes);
  ::setsockopt(fd_, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &limit, sizeof(limit));
}

int Stream::arrival_processor() const {
  int processor = -1;
  socklen_t size = sizeof(processor);
  static_cast<void>(::getsockopt(fd_, SOL_SOCKET, SO_INCOMING_CPU, &processor, &size));
  return processor;
}

void Stream::interrupt() { ::shutdown(fd_, SHUT_RDWR); }

}  // namespace migration::net
