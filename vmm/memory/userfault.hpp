#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "vmm/os/unique_fd.hpp"

namespace vmm {

/// How far an installation came. It goes from the front to the back, and stops at a page that is
/// there already, be it mapped or only in the file: that page keeps its bytes, and the caller goes
/// on behind it.
/// Where the kernel fails after some pages, say for want of memory, it stops too: the next call
/// throws.
struct Installed {
  std::size_t bytes = 0;
  bool met_present = false;  ///< the page at `bytes` was there already
};

/// Faults of this process on pages that are missing, for this process to serve (Linux
/// Documentation/admin-guide/mm/userfaultfd.rst): a userfaultfd, with a method per request.
///
/// Whoever touches a missing page of a registered range waits in the kernel until the page is
/// installed: a thread, a vCPU, a system call. When this object goes, all of them go on, and find
/// missing pages zero; so it outlives whatever must not take them for zero.
///
/// Several threads may use one object. Addresses and sizes are whole pages of 4 KiB. A failure
/// throws std::system_error that names the request: ENOENT for a range that is not registered.
class Userfault {
 public:
  /// Faults of the kernel count too, as KVM's do. std::system_error says what to do where that is
  /// not permitted (EPERM) or not there (ENOSYS).
  Userfault();

  /// To poll: readable while a fault is pending. It never blocks.
  [[nodiscard]] int fd() const { return fd_.get(); }

  /// From now on the pages of `range` that are missing are waited for. `range` is anonymous memory,
  /// or shared memory whose file has holes.
  void register_missing(std::span<std::byte> range) const;
  /// Whether the kernel has protect() and what belongs to it (Linux 5.7).
  [[nodiscard]] bool can_protect() const;
  /// The same for anonymous memory that can be protected.
  void register_protectable(std::span<std::byte> range) const;
  /// Pages of `range` are not waited for any more: what is missing is zero; whoever waits there
  /// goes on.
  void unregister(std::span<std::byte> range) const;

  /// Takes pending faults off the queue and puts the addresses of their pages into `addresses`. How
  /// many; 0 when there are none. A page that several threads wait for comes several times.
  std::size_t read_faults(std::span<std::byte*> addresses) const;

  /// Installs a copy of `from` at `to` and wakes who waits there. A page appears whole.
  Installed copy(std::byte* to, std::span<const std::byte> from) const;
  /// The same with zeros.
  Installed zero(std::byte* to, std::size_t size) const;

  /// Whether the kernel has move() (Linux 6.8).
  [[nodiscard]] bool can_move() const;
  /// The same with the pages at `from`, which are missing there afterwards: anonymous memory of
  /// this process alone, at both places. Stops also at a page of `from` that cannot be moved, being
  /// missing, pinned or shared.
  Installed move(std::byte* to, std::byte* from, std::size_t size) const;

  /// From now on whoever writes to a page of `range` that is there waits; reading it is allowed.
  void protect(std::span<std::byte> range) const;
  /// Not any more: whoever waits goes on.
  void unprotect(std::span<std::byte> range) const;

  /// Lets who waits in `range` look again: for pages that came by another way.
  void wake(std::span<std::byte> range) const;

 private:
  void enroll(std::span<std::byte> range, std::uint64_t mode) const;
  void set_protection(std::span<std::byte> range, std::uint64_t mode) const;

  UniqueFd fd_;
  std::uint64_t features_ = 0;
};

}  // namespace vmm
