#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "vmm/memory/atomic_page_set.hpp"
#include "vmm/memory/guest_address.hpp"
#include "vmm/memory/mapping.hpp"
#include "vmm/memory/page_set.hpp"
#include "vmm/memory/shared_ram.hpp"
#include "vmm/os/unique_fd.hpp"

namespace vmm {

inline constexpr std::uint64_t kMinMemory = 16_MiB;
/// Pages have numbers of 32 bits where they are told of: half of that.
inline constexpr std::uint64_t kMaxMemory = 8192_GiB;
/// RAM below this address is "low"; the rest starts at 4 GiB. Between them are the interrupt
/// controllers, the TSS pages that Intel needs and room for MMIO.
inline constexpr std::uint64_t kHoleStart = 3_GiB;
inline constexpr std::uint64_t kHoleEnd = 4_GiB;

/// A stretch of guest physical addresses backed by a stretch of RAM. There are one or two.
struct RamSlot {
  GuestAddress base;
  std::uint64_t ram_offset = 0;  ///< bytes into RAM
  std::uint64_t size = 0;        ///< bytes

  [[nodiscard]] PageRange pages() const { return {ram_offset / kPageSize, size / kPageSize}; }
};

/// What RAM is made of. Anonymous memory can use huge pages and is the cheapest to touch; a memfd
/// or a file is needed only where RAM is shared with another process or kept after this one (a
/// file, or a SharedRam, is given to GuestMemory as such).
enum class Backing { anonymous, memfd };

/// The guest reached outside its RAM, or a caller on its behalf.
class GuestAccessError : public std::out_of_range {
 public:
  using std::out_of_range::out_of_range;
};

/// All RAM of one guest: one host mapping, shown to the guest in one or two slots. Nothing here
/// touches a page that nobody asked for.
class GuestMemory {
 public:
  /// `size` in bytes: kMinMemory to kMaxMemory and a multiple of 1 MiB, or std::invalid_argument.
  /// std::system_error when the host cannot give it.
  explicit GuestMemory(std::uint64_t size, Backing backing = Backing::anonymous);
  /// RAM is `file`, opened for reading and writing, and has its content; std::invalid_argument when
  /// it is not of `size` bytes, since RAM past its end would kill the process.
  GuestMemory(std::uint64_t size, UniqueFd file);
  /// RAM is `shared`, of as many bytes, and has its content.
  GuestMemory(std::uint64_t size, SharedRam shared);
  /// RAM is a new SharedRam.
  [[nodiscard]] static GuestMemory shared(std::uint64_t size);

  [[nodiscard]] std::uint64_t size() const { return ram_.size(); }
  [[nodiscard]] std::uint64_t page_count() const { return size() / kPageSize; }
  /// The file or memfd that RAM is, -1 when it is anonymous memory, be it only in part.
  [[nodiscard]] int file() const { return covered() == 0 ? file_.get() : -1; }
  /// Null but for RAM that is a SharedRam.
  [[nodiscard]] const std::shared_ptr<RamClaim>& claim() const { return claim_; }
  /// Of RAM that is a file: the directory that this is in, for people.
  [[nodiscard]] std::string place() const;
  [[nodiscard]] std::span<const RamSlot> slots() const { return slots_; }
  [[nodiscard]] GuestAddress address_of(PageIndex page) const;

  /// The bytes at [address, address + length): must lie in one slot, or GuestAccessError.
  /// For the guest's own data before it runs; what is written through it afterwards is not tracked.
  [[nodiscard]] std::span<std::byte> at(GuestAddress address, std::uint64_t length);
  /// Copies in or out on behalf of a device. A write is noted, since KVM's dirty log sees only
  /// what vCPUs write.
  void write(GuestAddress address, std::span<const std::byte> bytes);
  void read(GuestAddress address, std::span<std::byte> bytes) const;
  /// A device has written these bytes of RAM itself. To be called after it has.
  void note_written(std::span<const std::byte> bytes);

  /// The host bytes of a run of pages; the range must lie within RAM (a peer's is checked first).
  [[nodiscard]] std::span<std::byte> pages(PageRange range);
  [[nodiscard]] std::span<const std::byte> pages(PageRange range) const;

  /// The page that the host address of a byte of RAM lies in.
  [[nodiscard]] PageIndex page_at(const std::byte* host) const;

  /// Gives pages back to the host: they are missing afterwards, and read as zero. Not of RAM that
  /// is covered in part. Register them with a Userfault before, not after: in between the host may
  /// fill a gap in huge-page memory.
  void discard(std::span<const PageRange> ranges);

  /// What the guest does without for now goes back to the host, as far as the host takes it: such a
  /// page is missing afterwards, and reads as zero. While the guest runs, from any thread; not
  /// while RAM is registered with a Userfault. RAM in a file of a file system keeps its pages:
  /// others might take the room.
  ///
  /// Each page is noted as written, for a page that becomes zero is. After that, as with all that
  /// is written: a migration that reads a page in between, as it was or as zero, reads it again.
  /// (Noted before only, a page could be taken out of the dirty log and read while it is still as
  /// it was, and the destination would keep that.)
  void give_back(std::span<const PageRange> ranges);

  /// Covers RAM that is a file with anonymous memory of which nothing is there yet: that is RAM
  /// then. Once, and while nobody else uses this object, as with uncover().
  void cover();
  /// In `range` the file is RAM again. std::system_error when the host does not allow that: then
  /// the cover stays.
  void uncover(PageRange range);

  /// Makes room in the file for `range`, whose bytes stay, before somebody writes there: a file
  /// system that is full would end the process. std::system_error where it has none. RAM that is no
  /// file needs nothing.
  void reserve(PageRange range);
  /// Whether a page of RAM may still have to find room in the file.
  [[nodiscard]] bool needs_room() const { return !unallocated_.empty(); }
  /// Whether RAM is a file of a file system, be it only in part: a page may find no room then. Any
  /// thread.
  [[nodiscard]] bool has_file() const { return file_.get() >= 0 && !claim_; }
  /// Of RAM that is a file: these bytes can be read and written from now on. Waits for pages that
  /// are missing, as whoever reads them does. False where the file has no room for them now. Any
  /// thread.
  [[nodiscard]] bool make_present(std::span<const std::byte> bytes) const;
  /// For a file system without that room: when this returns true no page needs any more. Blocks
  /// that the file has nothing of become anonymous memory. Of others the missing pages are made in
  /// the file, where that has room still; else these become anonymous memory with what is in them.
  /// RAM that is so in part is no file any more. False when it is not done by `until`: the next
  /// call goes on. Nobody may write to RAM meanwhile, or change what it consists of; all bytes are
  /// there for others to read. std::system_error when the host does not allow it: RAM is sound, and
  /// the next call tries again what failed.
  [[nodiscard]] bool detach_file(std::chrono::steady_clock::time_point until);

  /// Adds to `into` the pages of `range` that were ever touched, without touching any. Ask only
  /// after dirty logging is on, so that a page touched later is in the log.
  void add_populated(PageRange range, PageSet& into) const;
  /// Whether `add_populated` of what was never touched costs next to nothing.
  [[nodiscard]] bool passes_over_untouched() const;

  /// Moves the pages noted by write() and note_written() since the last call into `into`.
  void take_host_writes(PageSet& into);

 private:
  void lay_out();
  void note_unallocated(PageRange range);
  void punch(std::span<const PageRange> ranges);
  void make_hole(PageRange range);
  [[nodiscard]] std::uint64_t covered() const;
  void add_covered(std::uint64_t pages);
  [[nodiscard]] int allocate(PageRange range);
  void populate_or_move(PageRange blocks, bool partial_too, PageSet& there);
  void move_out(PageRange pages, const PageSet& there);
  [[nodiscard]] std::uint64_t offset_of(GuestAddress address, std::uint64_t length) const;

  UniqueFd file_;
  std::shared_ptr<RamClaim> claim_;
  /// Pages; accessed as std::atomic_ref. file() needs it, so it comes before what asks.
  mutable std::uint64_t covered_ = 0;
  Mapping ram_;
  std::vector<RamSlot> slots_;
  AtomicPageSet host_writes_{0};
  /// Blocks of kHugePagePages, by number, that are the file and may lack pages there.
  PageSet unallocated_;
  std::uint64_t next_to_detach_ = 0;  ///< see detach_file()
};

}  // namespace vmm
