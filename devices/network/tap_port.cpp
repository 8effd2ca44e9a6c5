#include "devices/network/tap_port.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cerrno>
#include <system_error>
#include <utility>
#include <vector>

namespace devices::network {

namespace {

constexpr const char* kTun = "/dev/net/tun";

/// As many frames as an interface keeps unless it is told to keep more.
constexpr int kMostWaiting = 1024;

[[noreturn]] void fail(int error, const std::string& what) {
  throw std::system_error(error, std::generic_category(), what);
}

ifreq request_for(const std::string& interface) {
  ifreq request{};
  interface.copy(request.ifr_name, IFNAMSIZ - 1);
  return request;
}

std::optional<std::uint16_t> mtu_of(const std::string& interface) {
  const vmm::UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request = request_for(interface);
  if (socket.get() < 0 || ::ioctl(socket.get(), SIOCGIFMTU, &request) != 0) return std::nullopt;
  // What the driver of a guest takes.
  if (request.ifr_mtu < 68 || request.ifr_mtu > 65'535) return std::nullopt;
  return static_cast<std::uint16_t>(request.ifr_mtu);
}

void check_there(const std::string& interface) {
  if (interface.size() >= IFNAMSIZ || ::if_nametoindex(interface.c_str()) == 0) {
    // The kernel would make one, if it may.
    fail(ENODEV, fmt::format("there is no interface '{0}' ('ip tuntap add dev {0} mode tap' "
                             "makes one)",
                             interface));
  }
}

std::string why_not_attached(const std::string& interface, int error) {
  switch (error) {
    case EBUSY: return fmt::format("the interface '{}' is in use by another process", interface);
    case EPERM:
      return fmt::format(
          "the interface '{}' may not be used ('ip tuntap add' with 'user' lets a user)",
          interface);
    case EINVAL: return fmt::format("the interface '{}' is no TAP of one queue", interface);
    default: return fmt::format("using the interface '{}'", interface);
  }
}

unsigned tun_offloads(std::uint64_t offloads) {
  // Segments have their checksums made by others, too.
  if ((offloads & Offloads::kReceiveChecksum) == 0) return 0;
  unsigned flags = TUN_F_CSUM;
  if ((offloads & Offloads::kReceiveTso4) != 0) flags |= TUN_F_TSO4;
  if ((offloads & Offloads::kReceiveTso6) != 0) flags |= TUN_F_TSO6;
  return flags;
}

/// The same for reading and writing, which an iovec does not tell.
iovec part_of(const FrameHeader& header) {
  return {const_cast<std::byte*>(header.data()), header.size()};
}

}  // namespace

TapPort::TapPort(std::string interface, std::function<void(std::string)> report)
    : interface_(std::move(interface)), report_(std::move(report)) {
  check_there(interface_);
  mtu_ = mtu_of(interface_);
}

void TapPort::reserve() {
  if (fd_.get() >= 0) return;
  try {
    attach();
    reserved_ = true;
  } catch (const std::system_error& error) {
    if (error.code() != std::errc::device_or_resource_busy) throw;
  }
}

void TapPort::open() {
  const bool reserved = std::exchange(reserved_, false);
  // One that has gone meanwhile is not to be had, or was made anew.
  if (reserved && !drop_waiting()) close();
  if (fd_.get() >= 0 && !reserved) return;
  if (fd_.get() < 0) attach();
  linked_ = true;
}

/// What came while it was reserved was for others, or has come to the guest where it ran, but for
/// the little that came since it was stopped. Whether the interface is still there.
bool TapPort::drop_waiting() {
  FrameHeader header;  // the least that a read takes
  const iovec part = part_of(header);
  for (int i = 0; i < kMostWaiting; ++i) {
    if (::readv(fd_.get(), &part, 1) < 0) return errno == EAGAIN;
  }
  return true;
}

void TapPort::attach() {
  vmm::UniqueFd tap(::open(kTun, O_RDWR | O_NONBLOCK | O_CLOEXEC));
  if (tap.get() < 0) {
    fail(errno, fmt::format("opening {}, which the interface '{}' needs", kTun, interface_));
  }
  check_there(interface_);
  ifreq request = request_for(interface_);
  request.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
  if (::ioctl(tap.get(), TUNSETIFF, &request) != 0) {
    fail(errno, why_not_attached(interface_, errno));
  }
  int header = static_cast<int>(sizeof(FrameHeader));
  if (::ioctl(tap.get(), TUNSETVNETHDRSZ, &header) != 0 ||
      ::ioctl(tap.get(), TUNSETOFFLOAD, tun_offloads(offloads_)) != 0) {
    fail(errno, why_not_attached(interface_, 0));
  }
  ready_.add(tap.get(), EPOLLIN);
  fd_ = std::move(tap);
}

void TapPort::close() {
  linked_ = false;
  reserved_ = false;
  fd_ = vmm::UniqueFd();
}

void TapPort::use(std::uint64_t offloads) {
  offloads_ = offloads;
  // An interface that has gone says so when it is next used.
  if (fd_.get() >= 0) {
    static_cast<void>(::ioctl(fd_.get(), TUNSETOFFLOAD, tun_offloads(offloads)));
  }
}

bool TapPort::do_send(const FrameHeader& header, std::span<const iovec> frame) {
  if (!linked_) return false;
  std::vector<iovec> parts{part_of(header)};
  parts.insert(parts.end(), frame.begin(), frame.end());
  return ::writev(fd_.get(), parts.data(), static_cast<int>(parts.size())) >= 0;
}

std::optional<std::size_t> TapPort::do_receive(FrameHeader& header, std::span<const iovec> into) {
  if (!linked_) return std::nullopt;
  std::vector<iovec> parts{part_of(header)};
  parts.insert(parts.end(), into.begin(), into.end());
  std::byte spill{};  // a frame that is cut off does not say so
  parts.push_back({&spill, 1});
  const ssize_t got = ::readv(fd_.get(), parts.data(), static_cast<int>(parts.size()));
  if (got < 0) {
    // Memory that is not there drops the frame.
    if (errno == EFAULT) return 0;
    if (errno != EAGAIN && errno != EINTR) lost();
    return std::nullopt;
  }
  const auto bytes = static_cast<std::size_t>(got);
  return bytes < header.size() || bytes > header.size() + size_of(into) ? 0 : bytes - header.size();
}

void TapPort::lost() {
  if (!linked_.exchange(false)) return;
  ready_.remove(fd_.get());
  report_(fmt::format("the interface '{}' has gone: the guest has no link there", interface_));
}

}  // namespace devices::network
