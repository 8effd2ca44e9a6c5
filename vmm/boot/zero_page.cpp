#include <algorithm>
#include <array>
#include <cstdint>

#include "vmm/boot/bzimage.hpp"
#include "vmm/boot/memory_map.hpp"

namespace vmm {

namespace {

constexpr std::uint8_t kUnknownLoader = 0xff;
constexpr std::uint16_t kNormalVideo = 0xffff;
constexpr std::uint64_t kTableEntries = 512;
constexpr std::uint64_t kLargePage = 2_MiB;

/// Flat code and data at the selectors that the 64-bit boot protocol names, 0x10 and 0x18.
void place_gdt(GuestMemory& memory) {
  constexpr std::array<std::uint64_t, kGdtBytes / 8> kGdt = {
      0, 0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0x00008b0000000067, 0};
  put(memory, kGdtAt, kGdt);
}

/// The first 4 GiB one to one, in large pages: one table of level 4, one of level 3, four of
/// level 2. All that Linux is given lies there, until it makes tables of its own.
void place_page_tables(GuestMemory& memory) {
  constexpr std::uint64_t kPresentWritable = 0x3;
  constexpr std::uint64_t kLarge = 0x80;
  constexpr std::uint64_t kLevel3 = kPageTablesAt + kPageSize;
  constexpr std::uint64_t kLevel2 = kLevel3 + kPageSize;
  put(memory, kPageTablesAt, kLevel3 | kPresentWritable);
  for (std::uint64_t gib = 0; gib < 4; ++gib) {
    const std::uint64_t table = kLevel2 + gib * kPageSize;
    put(memory, kLevel3 + gib * sizeof(table), table | kPresentWritable);
    for (std::uint64_t i = 0; i < kTableEntries; ++i) {
      put(memory, table + i * sizeof(table),
          (gib * kTableEntries + i) * kLargePage | kPresentWritable | kLarge);
    }
  }
}

void set_memory_map(boot_params& zero_page, const GuestMemory& memory) {
  for (const MemoryRegion& region : memory_map(memory)) {
    zero_page.e820_table[zero_page.e820_entries++] = {region.address, region.size,
                                                      static_cast<std::uint32_t>(region.type)};
  }
}

}  // namespace

BootEntry place_bzimage(GuestMemory& memory, const BootInput& input) {
  const BzImage image = input.kernel.about([&] {
    const BzImage parsed = parse_bzimage(input.kernel.bytes());
    // Ferry puts it where the page tables below reach.
    require_ram(memory, parsed.address, parsed.end, "the kernel");
    if (parsed.end > kHoleStart) bad_image("it wants to run above 3 GiB");
    return parsed;
  });
  std::ranges::copy(image.code, memory.at(GuestAddress{image.address}, image.code.size()).begin());
  place_cmdline(memory, input.cmdline, image.header.cmdline_size);

  boot_params zero_page{};
  zero_page.hdr = image.header;
  zero_page.hdr.type_of_loader = kUnknownLoader;
  zero_page.hdr.vid_mode = kNormalVideo;
  zero_page.hdr.code32_start = static_cast<std::uint32_t>(image.address);
  zero_page.hdr.cmd_line_ptr = kCmdlineAt;
  zero_page.acpi_rsdp_addr = input.rsdp;
  if (!input.initramfs.empty()) {
    const PlacedFile placed = input.initramfs.about([&] {
      return place_initramfs(memory, input.initramfs, image.end, image.header.initrd_addr_max);
    });
    zero_page.hdr.ramdisk_image = static_cast<std::uint32_t>(placed.address);
    zero_page.hdr.ramdisk_size = static_cast<std::uint32_t>(placed.size);
  }
  set_memory_map(zero_page, memory);
  put(memory, kBootInfoAt, zero_page);
  place_gdt(memory);
  place_page_tables(memory);
  return {BootEntry::Protocol::linux64, image.entry, kBootInfoAt};
}

}  // namespace vmm
