#include "vmm/boot/pvh.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "vmm/boot/elf_image.hpp"
#include "vmm/boot/memory_map.hpp"
#include "vmm/bytes/copy_bytes.hpp"

namespace vmm {

namespace {

// The structures of the PVH boot protocol: Xen's public header arch-x86/hvm/start_info.h.
constexpr std::uint32_t kStartMagic = 0x336ec578;
struct StartInfo {
  std::uint32_t magic, version, flags, modules;
  std::uint64_t modules_at, cmdline_at, rsdp_at, memory_map_at;
  std::uint32_t memory_map_entries, reserved;
};
static_assert(sizeof(StartInfo) == 56);
struct Module {
  std::uint64_t address, size, cmdline_at, reserved;
};
struct MemoryMapEntry {
  std::uint64_t address, size;
  std::uint32_t type, reserved;
};

constexpr std::uint64_t kMemoryMapAt = kBootInfoAt + 0x100;
constexpr std::uint64_t kModuleAt = kBootInfoAt + 0xf00;

/// What Linux on x86 takes (COMMAND_LINE_SIZE, less the final zero), as a bzImage says and an ELF
/// file does not. With more of it, it does not get as far as a message.
constexpr std::uint64_t kLinuxCmdline = 2047;

void check_place(const GuestMemory& memory, const ElfSegment& segment) {
  const std::string name =
      fmt::format("its segment at 0x{:x} of 0x{:x} bytes", segment.address.value, segment.size);
  if (segment.address.value < kCmdlineEnd && segment.end() > kBootInfoAt) {
    bad_image(fmt::format("{} lies where Ferry puts the start info (0x{:x} to 0x{:x})", name,
                          kBootInfoAt, kCmdlineEnd));
  }
  require_ram(memory, segment.address.value, segment.end(), name);
}

void load_segments(GuestMemory& memory, const ElfImage& image) {
  for (const ElfSegment& segment : image.segments) check_place(memory, segment);
  for (const ElfSegment& segment : image.segments) {
    // What follows the file's bytes is zero, as fresh RAM is: not touched.
    copy_bytes(segment.file, memory.at(segment.address, segment.file.size()));
  }
}

std::uint64_t kernel_end(const GuestMemory& memory, const ElfImage& image) {
  std::uint64_t end = kHighStart;
  for (const ElfSegment& segment : image.segments) {
    if (segment.end() <= low_ram_end(memory)) end = std::max(end, segment.end());
  }
  return end;
}

}  // namespace

BootEntry place_pvh(GuestMemory& memory, const BootInput& input) {
  const ElfImage image = input.kernel.about([&] {
    ElfImage parsed = parse_elf(input.kernel.bytes());
    load_segments(memory, parsed);
    return parsed;
  });

  place_cmdline(memory, input.cmdline, image.linux ? kLinuxCmdline : UINT64_MAX);

  StartInfo info{};
  info.magic = kStartMagic;
  info.version = 1;
  info.cmdline_at = kCmdlineAt;
  info.rsdp_at = input.rsdp;
  if (!input.initramfs.empty()) {
    const PlacedFile placed = input.initramfs.about([&] {
      return place_initramfs(memory, input.initramfs, kernel_end(memory, image), UINT64_MAX);
    });
    put(memory, kModuleAt, Module{placed.address, placed.size, 0, 0});
    info.modules = 1;
    info.modules_at = kModuleAt;
  }
  for (const MemoryRegion& region : memory_map(memory)) {
    put(memory, kMemoryMapAt + info.memory_map_entries++ * sizeof(MemoryMapEntry),
        MemoryMapEntry{region.address, region.size, static_cast<std::uint32_t>(region.type), 0});
  }
  info.memory_map_at = kMemoryMapAt;
  put(memory, kBootInfoAt, info);
  return {BootEntry::Protocol::pvh, image.pvh_entry, kBootInfoAt};
}

}  // namespace vmm
