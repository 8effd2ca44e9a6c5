#include "migration/postcopy/file_overlay.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <exception>
#include <system_error>
#include <utility>
#include <vector>

#include "migration/base/page_content.hpp"
#include "vmm/memory/huge_page.hpp"
#include "vmm/memory/populated.hpp"

namespace migration {

namespace {

constexpr std::uint64_t kBlockPages = vmm::kHugePagePages;

[[noreturn]] void fail(const char* what) {
  throw std::system_error(errno, std::generic_category(), what);
}

off_t offset_of(vmm::PageIndex page) { return static_cast<off_t>(page * vmm::kPageSize); }

}  // namespace

FileOverlay::FileOverlay(vmm::GuestMemory& memory, std::shared_ptr<const vmm::Userfault> userfault)
    : memory_(memory),
      file_(memory.file()),
      userfault_(std::move(userfault)),
      view_(memory.size(), file_),
      collapser_({view_.data(), view_.size()}),
      held_((memory.page_count() + kBlockPages - 1) / kBlockPages),
      reserved_(held_.page_count()),
      stale_(held_.page_count()),
      flushed_(held_.page_count()),
      due_(held_.page_count()),
      there_(memory.page_count()) {
  view_.advise_huge();  // as for RAM itself
  memory_.cover();
  const vmm::PageRange all{0, memory_.page_count()};
  try {
    userfault_->register_protectable(memory_.pages(all));
  } catch (...) {
    memory_.uncover(all);
    throw;
  }
}

vmm::PageRange FileOverlay::pages_of(std::uint64_t first, std::uint64_t end) const {
  const vmm::PageIndex page = first * kBlockPages;
  return {page, std::min(end * kBlockPages, memory_.page_count()) - page};
}

vmm::Installed FileOverlay::copy(vmm::PageRange range, std::span<const std::byte> data) {
  const std::uint64_t first = range.first / kBlockPages;
  held_.put(vmm::PageRange{first, (range.end() - 1) / kBlockPages + 1 - first});
  return userfault_->copy(memory_.pages(range).data(), data);
}

void FileOverlay::zero(vmm::PageIndex page) {
  const auto bytes = memory_.pages({page, 1});
  const std::uint64_t block = page / kBlockPages;
  const vmm::Lock lock(mutex_);
  if (!flushed_.test(block)) {
    held_.put(block);
    if (!userfault_->zero(bytes.data(), bytes.size()).met_present) return;
  }
  userfault_->wake(bytes);
}

std::optional<BlockReservation> FileOverlay::reserve(std::uint64_t block,
                                                     std::span<const vmm::PageRange> ranges) {
  const vmm::PageRange pages = pages_of(block, block + 1);
  if (pages.count != kBlockPages) return std::nullopt;
  {
    const vmm::Lock lock(mutex_);
    // It stays stale until it is committed, or cleared in the end.
    if (closed_ || flushed_.test(block) || !stale_.put(block)) return std::nullopt;
    reserved_.put(block);
  }
  BlockReservation reservation(*this, block,
                               {view_.data() + block * vmm::kHugePage, vmm::kHugePage});
  collapser_.collapse_for(ranges);
  // What is to be filled must be there: in a mapping, a tmpfs that is full would end this process.
  if (::fallocate(file_, FALLOC_FL_KEEP_SIZE, offset_of(pages.first),
                  static_cast<off_t>(vmm::kHugePage)) < 0) {
    return std::nullopt;
  }
  return reservation;
}

bool FileOverlay::commit(std::uint64_t block) {
  const vmm::Lock lock(mutex_);
  if (closed_) return false;
  closed_ = !show(block, true);
  if (!closed_) reserved_.test_and_clear(block);
  return !closed_;
}

void FileOverlay::release(std::uint64_t block) noexcept {
  const vmm::Lock lock(mutex_);
  reserved_.test_and_clear(block);
  if (!due_.test(block)) return;
  due_.reset(block);
  try {
    flush_locked(block);
  } catch (const std::system_error&) {
    // flush_all() comes to it again.
  }
}

void FileOverlay::flush(std::uint64_t block) {
  if (!held_.test(block)) return;
  const vmm::Lock lock(mutex_);
  if (reserved_.test(block)) return due_.set(block);
  flush_locked(block);
}

void FileOverlay::flush_locked(std::uint64_t block) {
  if (closed_ || flushed_.test(block)) return;
  closed_ = !show(block, false);
}

bool FileOverlay::flush_all() {
  const vmm::Lock lock(mutex_);
  for (std::uint64_t block = 0; block < blocks() && !closed_; ++block) {
    if (flushed_.test(block) || (!held_.test(block) && !stale_.test(block))) continue;
    // It is reserved still only if a defective source has sent its pages twice.
    closed_ = reserved_.test(block) || !show(block, false);
  }
  // At last what is zero. Where there is no room, nobody is to touch a hole of the file.
  for (std::uint64_t block = 0; block < blocks() && !closed_;) {
    std::uint64_t end = block;
    while (end < blocks() && !flushed_.test(end)) ++end;
    if (end > block) closed_ = !uncover(block, end);
    block = end + 1;
  }
  return !std::exchange(closed_, true);
}

bool FileOverlay::uncover(std::uint64_t first, std::uint64_t end) {
  const vmm::PageRange pages = pages_of(first, end);
  try {
    memory_.uncover(pages);
  } catch (const std::system_error&) {
    return false;
  }
  flushed_.set(vmm::PageRange{first, end - first});
  userfault_->wake(memory_.pages(pages));
  return true;
}

/// Those who touch the block meanwhile wait: for what is not there as for any page, and to write
/// what is there since it is protected. `filled`: the file has the block's pages, but for those
/// that the overlay has; otherwise it may have there what is of no use. False leaves the overlay.
bool FileOverlay::show(std::uint64_t block, bool filled) {
  const vmm::PageRange pages = pages_of(block, block + 1);
  const auto bytes = memory_.pages(pages);
  const bool held = held_.test(block);
  bool shows = false;
  try {
    if (!filled && stale_.test(block)) clear(pages);
    if (held) {
      userfault_->protect(bytes);
      write_out(pages, filled);
    }
    shows = uncover(block, block + 1);
  } catch (const std::exception&) {
    // The file has no room, say. The overlay has all that is needed.
  }
  // What is mapped twice counts twice as resident.
  ::madvise(view_.data() + pages.first * vmm::kPageSize, bytes.size(), MADV_DONTNEED);
  if (shows) {
    stale_.test_and_clear(block);
  } else {
    stale_.put(block);
    if (held) userfault_->unprotect(bytes);
  }
  return shows;
}

void FileOverlay::clear(vmm::PageRange pages) const {
  if (::fallocate(file_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset_of(pages.first),
                  static_cast<off_t>(pages.count * vmm::kPageSize)) < 0) {
    fail("fallocate of a hole in guest RAM");
  }
}

void FileOverlay::write_out(vmm::PageRange pages, bool zeros) {
  vmm::add_present(memory_.pages({0, 1}).data(), pages, there_);
  const std::vector<vmm::PageRange> held = there_.ranges(pages);
  there_.reset(pages);
  collapser_.collapse_for(held);
  for (const vmm::PageRange& range : held) {
    vmm::PageIndex from = range.first;
    for (vmm::PageIndex page = range.first; page <= range.end(); ++page) {
      // Where the file is empty a zero page can stay a hole.
      if (page < range.end() && (zeros || !is_zero(memory_.pages({page, 1})))) continue;
      write({from, page - from});
      from = page + 1;
    }
  }
}

/// By a system call, which a tmpfs that is full only refuses.
void FileOverlay::write(vmm::PageRange pages) const {
  if (pages.count == 0) return;
  const auto bytes = memory_.pages(pages);
  const ssize_t wrote = ::pwrite(file_, bytes.data(), bytes.size(), offset_of(pages.first));
  if (wrote == static_cast<ssize_t>(bytes.size())) return;
  if (wrote >= 0) errno = ENOSPC;
  fail("writing guest RAM into its file");
}

BlockReservation::BlockReservation(BlockReservation&& other) noexcept
    : overlay_(std::exchange(other.overlay_, nullptr)),
      block_(other.block_),
      bytes_(other.bytes_) {}

BlockReservation::~BlockReservation() {
  if (overlay_ != nullptr) overlay_->release(block_);
}

bool BlockReservation::commit() {
  if (!overlay_->commit(block_)) return false;
  overlay_ = nullptr;
  return true;
}

}  // namespace migration
