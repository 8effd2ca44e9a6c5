#include "vmm/memory/guest_memory.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cassert>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <thread>
#include <utility>

#include "vmm/memory/huge_page.hpp"
#include "vmm/memory/populated.hpp"

namespace vmm {

namespace {

[[noreturn]] void fail(const std::string& what) {
  throw std::system_error(errno, std::generic_category(), what);
}

/// The most ranges that process_madvise takes in one call (the kernel's UIO_MAXIOV).
constexpr std::size_t kMaxBatch = 1024;

/// A hole that the kernel does not make is tried so often, at this interval: no event tells when.
constexpr int kPunches = 100;
constexpr std::chrono::milliseconds kPunchPause{1};

/// One system call for many ranges. False where the kernel does not allow that for this advice,
/// which it does for the caller's own process since Linux 6.13. `self` is a pidfd of this process.
bool discard_at_once(int self, std::span<const iovec> ranges) {
  std::size_t bytes = 0;
  for (const iovec& range : ranges) bytes += range.iov_len;
  const long done =
      ::syscall(SYS_process_madvise, self, ranges.data(), ranges.size(), MADV_DONTNEED, 0);
  return done >= 0 && static_cast<std::size_t>(done) == bytes;
}

/// In every build: most of what comes here was named by a peer.
void check_inside(PageRange range, std::uint64_t pages) {
  if (range.first <= pages && range.count <= pages - range.first) return;
  throw GuestAccessError(fmt::format("pages {}+{} are not in RAM", range.first, range.count));
}

std::uint64_t checked(std::uint64_t size) {
  if (size < kMinMemory || size % 1_MiB != 0) {
    throw std::invalid_argument(fmt::format(
        "guest memory of {} bytes: needs at least 16 MiB and a whole number of MiB", size));
  }
  if (size > kMaxMemory) {
    throw std::invalid_argument(
        fmt::format("guest memory of {} GiB: may have {} GiB", size / 1_GiB, kMaxMemory / 1_GiB));
  }
  return size;
}

/// By number.
PageRange blocks_of(PageRange pages) {
  const std::uint64_t first = pages.first / kHugePagePages;
  return {first, (pages.end() + kHugePagePages - 1) / kHugePagePages - first};
}

UniqueFd make_memfd(std::uint64_t size) {
  UniqueFd file(::memfd_create("ferry-ram", MFD_CLOEXEC));
  if (file.get() < 0) fail("memfd_create for guest RAM");
  if (::ftruncate(file.get(), static_cast<off_t>(size)) < 0) fail("ftruncate of guest RAM");
  return file;
}

}  // namespace

GuestMemory::GuestMemory(std::uint64_t size, Backing backing)
    : file_(backing == Backing::memfd ? make_memfd(checked(size)) : UniqueFd()),
      ram_(checked(size), file()) {
  if (backing == Backing::anonymous) ram_.advise_huge();
  lay_out();
}

GuestMemory::GuestMemory(std::uint64_t size, UniqueFd file) : file_(std::move(file)) {
  struct stat status {};
  if (::fstat(file_.get(), &status) < 0) fail("fstat of the file for guest RAM");
  if (static_cast<std::uint64_t>(status.st_size) != checked(size)) {
    throw std::invalid_argument(
        fmt::format("the file for guest RAM has {} bytes, not {}", status.st_size, size));
  }
  ram_ = Mapping(size, file_.get());
  ram_.advise_huge();
  lay_out();
}

GuestMemory::GuestMemory(std::uint64_t size, SharedRam shared)
    : file_(shared.release()),
      claim_(std::make_shared<RamClaim>(file_.get(), checked(size))),
      ram_(size, file_.get()) {
  lay_out();
}

GuestMemory GuestMemory::shared(std::uint64_t size) { return {size, SharedRam(checked(size))}; }

void GuestMemory::lay_out() {
  const std::uint64_t low = std::min(size(), kHoleStart);
  slots_.push_back({GuestAddress{0}, 0, low});
  if (size() > low) slots_.push_back({GuestAddress{kHoleEnd}, low, size() - low});
  host_writes_ = AtomicPageSet(page_count());
  if (file() < 0 || claim_) return;
  const PageRange blocks = blocks_of({0, page_count()});
  unallocated_ = PageSet(blocks.count);
  unallocated_.set(blocks);
}

GuestAddress GuestMemory::address_of(PageIndex page) const {
  assert(page < page_count());
  const std::uint64_t offset = page * kPageSize;
  return {offset < kHoleStart ? offset : offset - kHoleStart + kHoleEnd};
}

std::uint64_t GuestMemory::offset_of(GuestAddress address, std::uint64_t length) const {
  for (const RamSlot& slot : slots_) {
    if (address < slot.base) continue;
    const std::uint64_t into = address.value - slot.base.value;
    if (into <= slot.size && length <= slot.size - into) return slot.ram_offset + into;
  }
  throw GuestAccessError(
      fmt::format("guest address 0x{:x}+0x{:x} is not in RAM", address.value, length));
}

std::span<std::byte> GuestMemory::at(GuestAddress address, std::uint64_t length) {
  return {ram_.data() + offset_of(address, length), length};
}

void GuestMemory::write(GuestAddress address, std::span<const std::byte> bytes) {
  if (bytes.empty()) return;
  const std::span<std::byte> place = at(address, bytes.size());
  std::memcpy(place.data(), bytes.data(), bytes.size());
  note_written(place);
}

/// Noted after the bytes are there: a read in between sees the page as not written yet, and the
/// next read takes it.
void GuestMemory::note_written(std::span<const std::byte> bytes) {
  if (bytes.empty()) return;
  const PageIndex first = page_at(&bytes.front());
  host_writes_.put(PageRange{first, page_at(&bytes.back()) + 1 - first});
}

void GuestMemory::read(GuestAddress address, std::span<std::byte> bytes) const {
  if (bytes.empty()) return;
  std::memcpy(bytes.data(), ram_.data() + offset_of(address, bytes.size()), bytes.size());
}

std::span<std::byte> GuestMemory::pages(PageRange range) {
  check_inside(range, page_count());
  return {ram_.data() + range.first * kPageSize, range.count * kPageSize};
}

std::span<const std::byte> GuestMemory::pages(PageRange range) const {
  check_inside(range, page_count());
  return {ram_.data() + range.first * kPageSize, range.count * kPageSize};
}

PageIndex GuestMemory::page_at(const std::byte* host) const {
  assert(host >= ram_.data() && host < ram_.data() + size());
  return static_cast<std::uint64_t>(host - ram_.data()) / kPageSize;
}

void GuestMemory::make_hole(PageRange range) {
  if (::fallocate(file_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                  static_cast<off_t>(range.first * kPageSize),
                  static_cast<off_t>(range.count * kPageSize)) < 0) {
    fail("fallocate of a hole in guest RAM");
  }
}

/// The kernel does not split a huge page that somebody uses just then, its own compaction say: the
/// part is zero, but no hole. So look, and try again.
void GuestMemory::punch(std::span<const PageRange> ranges) {
  std::vector<PageRange> left(ranges.begin(), ranges.end());
  for (int tries = 0; tries < kPunches; ++tries) {
    for (const PageRange& range : left) {
      if (range.count == 0) continue;
      make_hole(range);
      note_unallocated(range);
    }
    PageSet there(page_count());
    for (const PageRange& range : left) add_populated(range, there);
    left = there.ranges();
    if (left.empty()) return;
    std::this_thread::sleep_for(kPunchPause);
  }
  errno = EBUSY;
  fail("the host does not give back pages of guest RAM");
}

void GuestMemory::discard(std::span<const PageRange> ranges) {
  if (file() >= 0) return punch(ranges);
  const UniqueFd self(static_cast<int>(::syscall(SYS_pidfd_open, ::getpid(), 0)));
  std::vector<iovec> batch;
  while (!ranges.empty()) {
    batch.clear();
    for (const PageRange& range : ranges.first(std::min(ranges.size(), kMaxBatch))) {
      batch.push_back({pages(range).data(), pages(range).size()});
    }
    ranges = ranges.subspan(batch.size());
    if (discard_at_once(self.get(), batch)) continue;
    for (const iovec& one : batch) {
      if (::madvise(one.iov_base, one.iov_len, MADV_DONTNEED) < 0) fail("discarding guest RAM");
    }
  }
}

void GuestMemory::give_back(std::span<const PageRange> ranges) {
  if (has_file()) return;
  for (const PageRange& range : ranges) {
    const auto bytes = pages(range);
    // Where the host refuses, for memory that is locked say, they stay.
    static_cast<void>(::madvise(bytes.data(), bytes.size(), claim_ ? MADV_REMOVE : MADV_DONTNEED));
    note_written(bytes);
  }
}

void GuestMemory::cover() {
  ram_.remap(0, size(), -1);
  add_covered(page_count());
  unallocated_.clear();
}

void GuestMemory::uncover(PageRange range) {
  ram_.remap(range.first * kPageSize, range.count * kPageSize, file_.get());
  add_covered(-range.count);
  note_unallocated(range);
}

/// A memfd has room as long as the host has memory.
void GuestMemory::note_unallocated(PageRange range) {
  if (!claim_) unallocated_.set(blocks_of(range));
}

/// Others ask while pages come, or leave.
std::uint64_t GuestMemory::covered() const { return std::atomic_ref(covered_).load(); }

void GuestMemory::add_covered(std::uint64_t pages) { std::atomic_ref(covered_).fetch_add(pages); }

/// The file may have no name.
std::string GuestMemory::place() const {
  std::error_code unknown;
  const auto path =
      std::filesystem::read_symlink(fmt::format("/proc/self/fd/{}", file_.get()), unknown);
  return unknown ? "its file system" : path.parent_path().string();
}

int GuestMemory::allocate(PageRange range) {
  int result = 0;
  do {
    result =
        ::fallocate(file_.get(), FALLOC_FL_KEEP_SIZE, static_cast<off_t>(range.first * kPageSize),
                    static_cast<off_t>(range.count * kPageSize));
  } while (result < 0 && errno == EINTR);
  return result < 0 ? errno : 0;
}

void GuestMemory::reserve(PageRange range) {
  if (file() < 0 || claim_) return;
  const int error = allocate(range);
  if (error == 0) return;
  throw std::system_error(error, std::generic_category(),
                          "cannot make room for guest RAM in " + place());
}

bool GuestMemory::make_present(std::span<const std::byte> bytes) const {
  if (bytes.empty()) return true;
  const auto first = static_cast<std::uint64_t>(bytes.data() - ram_.data()) / kPageSize * kPageSize;
  const auto end = static_cast<std::uint64_t>(bytes.data() - ram_.data()) + bytes.size();
  if (::madvise(ram_.data() + first, end - first, MADV_POPULATE_READ) == 0) return true;
  return errno != EFAULT && errno != ENOMEM;
}

void GuestMemory::add_populated(PageRange range, PageSet& into) const {
  assert(range.end() <= page_count());
  if (file_.get() >= 0) add_data_of_file(file_.get(), ram_.data(), range, into);
  if (file() < 0) add_present(ram_.data(), range, into);
}

bool GuestMemory::passes_over_untouched() const { return file_.get() < 0 && passes_over_holes(); }

void GuestMemory::take_host_writes(PageSet& into) { host_writes_.move_into(into); }

}  // namespace vmm
