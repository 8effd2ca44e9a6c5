#include "devices/network/passt_port.hpp"

#include <fmt/format.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

namespace devices::network {

namespace {

constexpr std::size_t kLength = 4;
/// Room for one frame of any length, and for many that are short.
constexpr std::size_t kBuffer = 2 * (kLength + kMostFrame);

std::array<std::byte, kLength> encode_length(std::size_t length) {
  return {static_cast<std::byte>(length >> 24), static_cast<std::byte>(length >> 16),
          static_cast<std::byte>(length >> 8), static_cast<std::byte>(length)};
}

std::size_t decode_length(std::span<const std::byte> bytes) {
  std::size_t length = 0;
  for (const std::byte byte : bytes.first(kLength)) {
    length = length << 8 | std::to_integer<std::size_t>(byte);
  }
  return length;
}

}  // namespace

PasstPort::PasstPort(std::string path, std::function<void(std::string)> report)
    : path_(std::move(path)), report_(std::move(report)), buffer_(kBuffer) {}

void PasstPort::open() {
  if (fd_.get() >= 0) return;
  const auto fail = [this](int error) {
    throw std::system_error(error, std::generic_category(),
                            fmt::format("connecting to the network at {}", path_));
  };
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path_.size() >= sizeof(address.sun_path)) fail(ENAMETOOLONG);
  path_.copy(address.sun_path, path_.size());
  vmm::UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (socket.get() < 0) fail(errno);
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    fail(errno);
  }
  ready_.add(socket.get(), EPOLLIN);
  fd_ = std::move(socket);
  linked_ = true;
}

void PasstPort::close() {
  linked_ = false;
  fd_ = vmm::UniqueFd();
  begin_ = end_ = 0;
  const vmm::Lock lock(send_mutex_);
  rest_.clear();
}

bool PasstPort::do_send(const FrameHeader& /*header*/, std::span<const iovec> frame) {
  if (!linked_) return false;
  auto length = encode_length(size_of(frame));
  std::vector<iovec> parts{{length.data(), length.size()}};
  parts.insert(parts.end(), frame.begin(), frame.end());
  const vmm::Lock lock(send_mutex_);
  if (!rest_.empty()) send_rest();
  if (!rest_.empty()) return false;
  msghdr message{};
  message.msg_iov = parts.data();
  message.msg_iovlen = parts.size();
  const ssize_t sent = ::sendmsg(fd_.get(), &message, MSG_NOSIGNAL);
  if (sent < 0) {
    if (errno != EAGAIN && errno != EINTR && errno != ENOBUFS) lost(std::strerror(errno));
    return false;
  }
  if (static_cast<std::size_t>(sent) < size_of(parts)) {
    keep_rest(parts, static_cast<std::size_t>(sent));
  }
  return true;
}

/// The other end waits for it, whatever else is sent.
void PasstPort::keep_rest(std::span<const iovec> parts, std::size_t sent) {
  for (const iovec& part : parts) {
    const std::size_t skipped = std::min(sent, part.iov_len);
    sent -= skipped;
    const auto* bytes = static_cast<const std::byte*>(part.iov_base);
    rest_.insert(rest_.end(), bytes + skipped, bytes + part.iov_len);
  }
  ready_.change(fd_.get(), EPOLLIN | EPOLLOUT);
}

void PasstPort::send_rest() {
  const ssize_t sent = ::send(fd_.get(), rest_.data(), rest_.size(), MSG_NOSIGNAL);
  if (sent < 0) {
    if (errno != EAGAIN && errno != EINTR && errno != ENOBUFS) lost(std::strerror(errno));
    return;
  }
  rest_.erase(rest_.begin(), rest_.begin() + sent);
  if (rest_.empty()) ready_.change(fd_.get(), EPOLLIN);
}

std::optional<std::size_t> PasstPort::do_receive(FrameHeader& header, std::span<const iovec> into) {
  header = {};
  {
    const vmm::Lock lock(send_mutex_);
    if (linked_ && !rest_.empty()) send_rest();
  }
  for (;;) {
    const auto waiting = std::span(buffer_).subspan(begin_, end_ - begin_);
    if (waiting.size() >= kLength) {
      const std::size_t length = decode_length(waiting);
      if (length > kMostFrame) {
        begin_ = end_ = 0;
        lost(fmt::format("it sends a frame of {} bytes", length));
        return std::nullopt;
      }
      if (waiting.size() - kLength >= length) return take_frame(into);
    }
    if (!fill()) return std::nullopt;
  }
}

/// A frame that is all there.
std::optional<std::size_t> PasstPort::take_frame(std::span<const iovec> into) {
  auto frame = std::span(buffer_).subspan(begin_);
  const std::size_t length = decode_length(frame);
  frame = frame.subspan(kLength, length);
  begin_ += kLength + length;
  if (length < kLeastFrame || length > size_of(into)) return 0;
  for (const iovec& part : into) {
    const auto here = frame.first(std::min(frame.size(), part.iov_len));
    if (here.empty()) break;
    std::memcpy(part.iov_base, here.data(), here.size());
    frame = frame.subspan(here.size());
  }
  return length;
}

/// Whether more has come.
bool PasstPort::fill() {
  if (!linked_) return false;
  std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
  end_ -= std::exchange(begin_, 0);
  const auto room = std::span(buffer_).subspan(end_);
  const ssize_t got = ::recv(fd_.get(), room.data(), room.size(), 0);
  if (got > 0) {
    end_ += static_cast<std::size_t>(got);
    return true;
  }
  if (got == 0) {
    lost("it has ended");
  } else if (errno != EAGAIN && errno != EINTR) {
    lost(std::strerror(errno));
  }
  return false;
}

void PasstPort::lost(const std::string& why) {
  if (!linked_.exchange(false)) return;
  ready_.remove(fd_.get());
  report_(
      fmt::format("the network at {} is lost, and the guest has no link there: {}", path_, why));
}

}  // namespace devices::network
