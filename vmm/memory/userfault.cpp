#include "vmm/memory/userfault.hpp"

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <cerrno>
#include <string>
#include <system_error>

#include "vmm/memory/guest_address.hpp"
#include "vmm/os/ioctl.hpp"

// What headers before Linux 6.8 lack, with the kernel's values.
#ifndef UFFDIO_MOVE
#define UFFD_FEATURE_MOVE (1 << 16)
struct uffdio_move {  // NOLINT(readability-identifier-naming): the kernel's
  __u64 dst;
  __u64 src;
  __u64 len;
  __u64 mode;
  __s64 move;
};
#define UFFDIO_MOVE _IOWR(UFFDIO, 0x05, uffdio_move)
#endif

namespace vmm {

namespace {

/// The kernel says EAGAIN when it came less far than it was asked to, and when the mappings of the
/// process change meanwhile. The second without an end is a defect.
constexpr int kMaxIdleTries = 1'000'000;

[[noreturn]] void fail(int error, const std::string& what) {
  throw std::system_error(error, std::generic_category(), what);
}

/// -1 and errno when there is no device, or no access to it.
int open_by_device(int flags) {
  const UniqueFd device(::open("/dev/userfaultfd", O_RDWR | O_CLOEXEC));
  return device.get() < 0 ? -1 : ::ioctl(device.get(), USERFAULTFD_IOC_NEW, flags);
}

UniqueFd open_userfault() {
  constexpr int kFlags = O_CLOEXEC | O_NONBLOCK;
  // Without UFFD_USER_MODE_ONLY, which any process may have and which leaves KVM's faults out.
  UniqueFd fd(static_cast<int>(::syscall(SYS_userfaultfd, kFlags)));
  if (fd.get() >= 0) return fd;
  const int error = errno;
  if (error == EPERM || error == ENOSYS) {
    fd = UniqueFd(open_by_device(kFlags));
    if (fd.get() >= 0) return fd;
  }
  if (error == EPERM) {
    fail(error,
         "userfaultfd is not permitted: allow it to everybody ('sudo sysctl -w "
         "vm.unprivileged_userfaultfd=1'), or give this user access to /dev/userfaultfd or the "
         "capability CAP_SYS_PTRACE; in a container, see that its seccomp profile permits it");
  }
  if (error == ENOSYS) {
    fail(error, "this kernel lacks userfaultfd (CONFIG_USERFAULTFD, Linux 4.11 or newer)");
  }
  fail(error, "userfaultfd");
}

std::uint64_t number(const std::byte* address) { return reinterpret_cast<std::uintptr_t>(address); }

uffdio_range range_of(std::span<std::byte> range) { return {number(range.data()), range.size()}; }

/// Calls `request(done, progress)`, which installs what is behind `done` bytes, until all is
/// installed, a page is there already, or it fails. It returns what its ioctl did; `progress`
/// becomes the bytes that were installed, or negative.
template <typename Request>
Installed install(std::size_t size, const char* name, Request request) {
  assert(size % kPageSize == 0);
  Installed installed;
  for (int idle = 0; installed.bytes < size;) {
    std::int64_t progress = 0;
    const int error = request(installed.bytes, progress) == 0 ? 0 : errno;
    if (progress > 0) installed.bytes += static_cast<std::size_t>(progress);
    if (error == EEXIST) {
      installed.met_present = true;
      break;
    }
    if (error == EAGAIN || error == EINTR) {
      idle = progress > 0 ? 0 : idle + 1;
      if (idle < kMaxIdleTries) continue;
    }
    if (error != 0 && installed.bytes > 0) break;
    if (error != 0) fail(error, name);
  }
  return installed;
}

}  // namespace

Userfault::Userfault() : fd_(open_userfault()) {
  uffdio_api api{};
  api.api = UFFD_API;
  // No feature is asked for: the kernel tells those that it has.
  checked_ioctl(fd(), UFFDIO_API, &api, "UFFDIO_API");
  features_ = api.features;
}

bool Userfault::can_protect() const { return (features_ & UFFD_FEATURE_PAGEFAULT_FLAG_WP) != 0; }

bool Userfault::can_move() const { return (features_ & UFFD_FEATURE_MOVE) != 0; }

void Userfault::enroll(std::span<std::byte> range, std::uint64_t mode) const {
  uffdio_register request{};
  request.range = range_of(range);
  request.mode = mode;
  checked_ioctl(fd(), UFFDIO_REGISTER, &request, "UFFDIO_REGISTER");
}

void Userfault::register_missing(std::span<std::byte> range) const {
  enroll(range, UFFDIO_REGISTER_MODE_MISSING);
}

void Userfault::register_protectable(std::span<std::byte> range) const {
  enroll(range, UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_WP);
}

void Userfault::unregister(std::span<std::byte> range) const {
  uffdio_range request = range_of(range);
  checked_ioctl(fd(), UFFDIO_UNREGISTER, &request, "UFFDIO_UNREGISTER");
}

std::size_t Userfault::read_faults(std::span<std::byte*> addresses) const {
  std::array<uffd_msg, 64> messages{};
  const std::size_t room = std::min(messages.size(), addresses.size());
  ssize_t got = 0;
  do {
    got = ::read(fd(), messages.data(), room * sizeof(uffd_msg));
  } while (got < 0 && errno == EINTR);
  if (got < 0 && errno == EAGAIN) return 0;
  if (got < 0) fail(errno, "reading faults of a userfaultfd");
  const std::size_t count = static_cast<std::size_t>(got) / sizeof(uffd_msg);
  for (std::size_t i = 0; i < count; ++i) {
    assert(messages[i].event == UFFD_EVENT_PAGEFAULT);  // no other event was asked for
    const std::uint64_t address = messages[i].arg.pagefault.address;
    addresses[i] = reinterpret_cast<std::byte*>(address - address % kPageSize);
  }
  return count;
}

Installed Userfault::copy(std::byte* to, std::span<const std::byte> from) const {
  return install(from.size(), "UFFDIO_COPY", [&](std::size_t done, std::int64_t& progress) {
    uffdio_copy request{};
    request.dst = number(to + done);
    request.src = number(from.data() + done);
    request.len = from.size() - done;
    const int result = ::ioctl(fd(), UFFDIO_COPY, &request);
    progress = request.copy;
    return result;
  });
}

Installed Userfault::zero(std::byte* to, std::size_t size) const {
  return install(size, "UFFDIO_ZEROPAGE", [&](std::size_t done, std::int64_t& progress) {
    uffdio_zeropage request{};
    request.range = {number(to + done), size - done};
    const int result = ::ioctl(fd(), UFFDIO_ZEROPAGE, &request);
    progress = request.zeropage;
    return result;
  });
}

Installed Userfault::move(std::byte* to, std::byte* from, std::size_t size) const {
  bool stuck = false;
  Installed moved = install(size, "UFFDIO_MOVE", [&](std::size_t done, std::int64_t& progress) {
    uffdio_move request{};
    request.dst = number(to + done);
    request.src = number(from + done);
    request.len = size - done;
    const int result = ::ioctl(fd(), UFFDIO_MOVE, &request);
    progress = request.move;
    stuck = result < 0 && (errno == ENOENT || errno == EBUSY);
    if (stuck) errno = EEXIST;  // it ends as at a page that is there
    return result;
  });
  if (stuck) moved.met_present = false;
  return moved;
}

void Userfault::set_protection(std::span<std::byte> range, std::uint64_t mode) const {
  uffdio_writeprotect request{};
  request.range = range_of(range);
  request.mode = mode;
  checked_ioctl(fd(), UFFDIO_WRITEPROTECT, &request, "UFFDIO_WRITEPROTECT");
}

void Userfault::protect(std::span<std::byte> range) const {
  set_protection(range, UFFDIO_WRITEPROTECT_MODE_WP);
}

void Userfault::unprotect(std::span<std::byte> range) const { set_protection(range, 0); }

void Userfault::wake(std::span<std::byte> range) const {
  uffdio_range request = range_of(range);
  checked_ioctl(fd(), UFFDIO_WAKE, &request, "UFFDIO_WAKE");
}

}  // namespace vmm
