#include "vmm/memory/shared_ram.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>

namespace vmm {

namespace {

/// It has as many bytes as it was made with for good, and whoever has it can write it for good.
constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

/// F_SEAL_EXEC of Linux 6.3: a host may give it to each memfd (sysctl vm.memfd_noexec).
constexpr int kSealOfHost = 0x20;

constexpr std::uint64_t kSideBits = 3;

[[noreturn]] void fail(const char* what) {
  throw std::system_error(errno, std::generic_category(), what);
}

[[noreturn]] void refuse(const std::string& why) {
  throw std::invalid_argument("the memory that was handed over " + why);
}

off_t file_size(std::uint64_t ram) { return static_cast<off_t>(ram + kPageSize); }

}  // namespace

SharedRam::SharedRam(std::uint64_t size)
    : file_(::memfd_create("ferry-ram", MFD_CLOEXEC | MFD_ALLOW_SEALING)) {
  if (file_.get() < 0) fail("memfd_create for guest RAM");
  if (::ftruncate(file_.get(), file_size(size)) < 0) fail("ftruncate of guest RAM");
  if (::fcntl(file_.get(), F_ADD_SEALS, kSeals) < 0) fail("sealing guest RAM");
}

SharedRam::SharedRam(UniqueFd file, std::uint64_t size) : file_(std::move(file)) {
  // First: this never leaves the kernel, and refuses what another process answers for.
  const int seals = ::fcntl(file_.get(), F_GET_SEALS);
  if (seals < 0) refuse("is no memfd");
  if ((seals & ~kSealOfHost) != kSeals) {
    refuse(fmt::format("has the seals 0x{:x}, not 0x{:x}", seals, kSeals));
  }
  struct stat status {};
  struct statfs system {};
  if (::fstat(file_.get(), &status) < 0 || ::fstatfs(file_.get(), &system) < 0) {
    fail("looking at the memory that was handed over");
  }
  // Of huge pages, say, or of a disk: there a byte that can be had now need not be had later.
  if (!S_ISREG(status.st_mode) || system.f_type != TMPFS_MAGIC) refuse("is no memfd");
  if (status.st_size != file_size(size)) {
    refuse(fmt::format("has {} bytes, not {}", status.st_size, file_size(size)));
  }
  const int flags = ::fcntl(file_.get(), F_GETFL);
  if (flags < 0 || (flags & O_ACCMODE) != O_RDWR) refuse("cannot be written");
}

RamClaim::RamClaim(int file, std::uint64_t size)
    : word_(static_cast<std::uint64_t*>(::mmap(nullptr, kPageSize, PROT_READ | PROT_WRITE,
                                               MAP_SHARED, file, static_cast<off_t>(size)))) {
  if (word_ == MAP_FAILED) fail("mmap of the claim on guest RAM");
  handover_ = word().load() & ~kSideBits;
}

RamClaim::~RamClaim() { ::munmap(word_, kPageSize); }

void RamClaim::open() {
  mine_ = false;
  handover_ = (word().load() & ~kSideBits) + kSideBits + 1;
  word().store(handover_);
}

bool RamClaim::take(Side side) {
  if (mine_ && is_of(side)) return true;
  std::uint64_t nobody = handover_;
  mine_ = word().compare_exchange_strong(nobody, held_by(side));
  return mine_;
}

void RamClaim::give_back(Side side) {
  if (!std::exchange(mine_, false)) return;
  std::uint64_t held = held_by(side);
  static_cast<void>(word().compare_exchange_strong(held, handover_));
}

bool RamClaim::is_of(Side side) const { return word().load() == held_by(side); }

}  // namespace vmm
