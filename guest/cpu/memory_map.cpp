#include "guest/cpu/memory_map.hpp"

#include "guest/cpu/freestanding.hpp"

extern "C" {
extern std::uint8_t image_end[];
extern std::uint64_t page_directory_pointers[];
}

namespace guest {
namespace {

constexpr std::uint64_t kPage = 4096;
constexpr std::uint64_t kLargePage = 2 << 20;
constexpr std::uint64_t kGib = 1 << 30;
constexpr std::uint64_t kTableBits = 0x27;       // present, writable, user, accessed
constexpr std::uint64_t kLargePageBits = 0xe7;   // the same, dirty, large
constexpr std::uint64_t kDevicePageBits = 0xff;  // the same, uncached
constexpr std::uint64_t kHighest = 512 * kGib;   // of one table of directory pointers

struct MapEntry {
  std::uint64_t address;
  std::uint64_t size;
  std::uint32_t type;
  std::uint32_t reserved;
};

constexpr std::uint32_t kTypeRam = 1;

std::uint64_t round_up(std::uint64_t value, std::uint64_t unit) {
  return (value + unit - 1) / unit * unit;
}

}  // namespace

void MemoryMap::read(const StartInfo& info) {
  const auto* entry = reinterpret_cast<const MapEntry*>(info.memory_map);
  const std::uint32_t entries = info.version >= 1 ? info.memory_map_entries : 0;
  for (std::uint32_t i = 0; i < entries; ++i, ++entry) {
    if (entry->type != kTypeRam) continue;
    total_bytes_ += entry->size;
    const std::uint64_t image = reinterpret_cast<std::uint64_t>(image_end);
    std::uint64_t begin = round_up(entry->address, kPage);
    std::uint64_t end = (entry->address + entry->size) / kPage * kPage;
    if (begin < image) begin = image;
    if (end > kHighest) end = kHighest;
    if (begin < end && count_ < kMaxRegions) regions_[count_++] = {begin, end};
  }
}

std::uint64_t MemoryMap::new_directory() {
  // From the first region, hence below 1 GiB, where it can be written already.
  const std::uint64_t directory = take(kPage);
  memset(reinterpret_cast<void*>(directory), 0, kPage);
  return directory;
}

void MemoryMap::map_page(std::uint64_t address, std::uint64_t bits) {
  std::uint64_t& pointer = page_directory_pointers[address / kGib];
  if (pointer == 0) pointer = new_directory() | kTableBits;
  auto* directory = reinterpret_cast<std::uint64_t*>(pointer / kPage * kPage);
  directory[address % kGib / kLargePage] = address | bits;
}

void MemoryMap::map() {
  const MemoryMap all = *this;
  for (const MemoryRegion& region : all.regions_) {
    std::uint64_t address = region.begin < kGib ? kGib : region.begin / kLargePage * kLargePage;
    for (; address < region.end; address += kLargePage) map_page(address, kLargePageBits);
  }
}

bool MemoryMap::map_device(std::uint64_t address, std::uint64_t bytes) {
  if (address >= kHighest || bytes > kHighest - address) return false;
  const std::uint64_t end = address + bytes;
  address = address / kLargePage * kLargePage;
  for (; address < end; address += kLargePage) map_page(address, kDevicePageBits);
  return true;
}

std::uint64_t MemoryMap::free_pages() const {
  std::uint64_t pages = 0;
  for (const MemoryRegion& region : regions_) pages += (region.end - region.begin) / kPage;
  return pages;
}

std::uint64_t MemoryMap::take(std::uint64_t bytes) {
  bytes = round_up(bytes, kPage);
  for (MemoryRegion& region : regions_) {
    if (region.end - region.begin < bytes) continue;
    const std::uint64_t address = region.begin;
    region.begin += bytes;
    return address;
  }
  return 0;
}

}  // namespace guest
