#pragma once

#include <cstdint>

/// The RAM that the VMM told of by the PVH start info.
namespace guest {

struct StartInfo;

struct MemoryRegion {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

/// RAM behind the image and free for use, as pages counted through all regions in order.
class MemoryMap {
 public:
  /// Reads the start info, which is then no longer needed.
  void read(const StartInfo& info);

  /// Makes everything above the first GiB accessible, with page directories taken from the free
  /// pages; the image maps what is below.
  void map();

  /// Makes a device's registers accessible; false where they are too high for that. Only for what
  /// was not accessible before.
  bool map_device(std::uint64_t address, std::uint64_t bytes);

  /// Bytes of RAM in all, used ones included.
  std::uint64_t total_bytes() const { return total_bytes_; }

  std::uint64_t free_pages() const;

  /// Address of free page `index` < free_pages().
  std::uint64_t address(std::uint64_t index) const {
    for (const MemoryRegion& region : regions_) {
      const std::uint64_t pages = (region.end - region.begin) / 4096;
      if (index < pages) return region.begin + index * 4096;
      index -= pages;
    }
    return 0;
  }

  /// Takes the first `bytes`, rounded up to whole pages, of a region that has them: returns their
  /// address, or 0 where there is none.
  std::uint64_t take(std::uint64_t bytes);

 private:
  std::uint64_t new_directory();
  void map_page(std::uint64_t address, std::uint64_t bits);

  static constexpr int kMaxRegions = 8;
  MemoryRegion regions_[kMaxRegions];
  int count_ = 0;
  std::uint64_t total_bytes_ = 0;
};

/// The Xen/PVH ABI's hvm_start_info, version 1.
struct StartInfo {
  static constexpr std::uint32_t kExpectedMagic = 0x336ec578;

  std::uint32_t magic;
  std::uint32_t version;
  std::uint32_t flags;
  std::uint32_t module_count;
  std::uint64_t modules;
  std::uint64_t command_line;
  std::uint64_t acpi;
  std::uint64_t memory_map;
  std::uint32_t memory_map_entries;
  std::uint32_t reserved;
};

}  // namespace guest
