#include "vmm/boot/pvh.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "vmm/boot/elf_image.hpp"
#include "vmm/boot/image_file.hpp"

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
constexpr std::uint32_t kRam = 1;
constexpr std::uint32_t kReserved = 2;

// Low memory as PC guests expect it: usable below the place of the extended BIOS data area, and
// nothing between there and 1 MiB.
constexpr std::uint64_t kLowEnd = 0x9fc00;
constexpr std::uint64_t kHighStart = 0x100000;
// Start info, memory map, module list and command line, in pages that no kernel is linked to; a
// kernel copies them before it uses low memory for itself.
constexpr std::uint32_t kStartInfoAt = 0x6000;
constexpr std::uint64_t kMemoryMapAt = 0x6100;
constexpr std::uint64_t kModuleAt = 0x6f00;
constexpr std::uint64_t kCmdlineAt = 0x7000;
constexpr std::uint64_t kBootDataEnd = 0x9000;

[[noreturn]] void bad(const std::string& why) { throw BootError(BootError::Kind::bad_image, why); }

template <typename Struct>
void put(GuestMemory& memory, std::uint64_t address, const Struct& value) {
  std::memcpy(memory.at(GuestAddress{address}, sizeof(value)).data(), &value, sizeof(value));
}

std::uint64_t low_ram(const GuestMemory& memory) { return memory.slots().front().size; }

std::vector<MemoryMapEntry> memory_map(const GuestMemory& memory) {
  std::vector<MemoryMapEntry> map = {{0, kLowEnd, kRam, 0},
                                     {kLowEnd, kHighStart - kLowEnd, kReserved, 0},
                                     {kHighStart, low_ram(memory) - kHighStart, kRam, 0}};
  for (const RamSlot& slot : memory.slots().subspan(1)) {
    map.push_back({slot.base.value, slot.size, kRam, 0});
  }
  return map;
}

void check_place(const GuestMemory& memory, const ElfSegment& segment) {
  const std::uint64_t begin = segment.address.value;
  const std::string name =
      fmt::format("its segment at 0x{:x} of 0x{:x} bytes", begin, segment.size);
  if (begin < kBootDataEnd && segment.end() > kStartInfoAt) {
    bad(fmt::format("{} lies where Ferry puts the start info (0x{:x} to 0x{:x})", name,
                    kStartInfoAt, kBootDataEnd));
  }
  const auto map = memory_map(memory);
  const bool inside = std::ranges::any_of(map, [&](const MemoryMapEntry& entry) {
    return entry.type == kRam && begin >= entry.address &&
           segment.end() <= entry.address + entry.size;
  });
  if (inside) return;
  if (begin < kHighStart) bad(fmt::format("{} is not in RAM: 0xa0000 to 0xfffff is not", name));
  if (segment.end() <= kHoleStart) {
    bad(fmt::format("{} does not fit into {} MiB of RAM: it needs --memory of at least {}M", name,
                    memory.size() / 1_MiB, (segment.end() + 1_MiB - 1) / 1_MiB));
  }
  bad(fmt::format("{} is not in RAM, which is below 3 GiB and from 4 GiB on", name));
}

void load_segments(GuestMemory& memory, const ElfImage& image) {
  for (const ElfSegment& segment : image.segments) check_place(memory, segment);
  for (const ElfSegment& segment : image.segments) {
    // What follows the file's bytes is zero, as fresh RAM is: not touched.
    std::ranges::copy(segment.file, memory.at(segment.address, segment.file.size()).begin());
  }
}

/// As high in low RAM as it goes: out of the way of a kernel that grows from below.
Module load_initramfs(GuestMemory& memory, const ElfImage& image, std::span<const std::byte> file) {
  std::uint64_t kernel_end = kHighStart;
  for (const ElfSegment& segment : image.segments) {
    if (segment.end() <= low_ram(memory)) kernel_end = std::max(kernel_end, segment.end());
  }
  const std::uint64_t room = low_ram(memory) - kernel_end;
  if (file.size() > room || (low_ram(memory) - file.size()) / kPageSize * kPageSize < kernel_end) {
    bad(fmt::format(
        "{} bytes do not fit behind the kernel, which leaves {} of the RAM below 3 GiB: "
        "use a larger --memory or a smaller initramfs",
        file.size(), room));
  }
  const std::uint64_t address = (low_ram(memory) - file.size()) / kPageSize * kPageSize;
  std::ranges::copy(file, memory.at(GuestAddress{address}, file.size()).begin());
  return {address, file.size(), 0, 0};
}

/// Runs `step`, and names the file that a BootError of it is about.
template <typename Step>
auto about(const char* what, const std::filesystem::path& path, Step step) {
  try {
    return step();
  } catch (const BootError& error) {
    throw BootError(error.kind(), fmt::format("{} '{}': {}", what, path.string(), error.what()));
  }
}

kvm_segment flat(std::uint16_t selector, std::uint8_t type) {
  kvm_segment segment{};
  segment.limit = 0xffffffff;
  segment.selector = selector;
  segment.type = type;
  segment.present = 1;
  segment.db = 1;
  segment.s = 1;
  segment.g = 1;
  return segment;
}

/// 32-bit protected mode, paging off, flat segments, EBX points at the start info.
void set_entry(Vcpu& vcpu, const PvhEntry& at) {
  kvm_sregs sregs = vcpu.sregs();
  sregs.cs = flat(0x08, 0xb);
  sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = flat(0x10, 0x3);
  kvm_segment tss{};
  tss.limit = 0x67;
  tss.selector = 0x18;
  tss.type = 0xb;
  tss.present = 1;
  sregs.tr = tss;
  sregs.cr0 = 0x11;  // PE, ET
  sregs.cr4 = 0;
  sregs.efer = 0;
  vcpu.set_sregs(sregs);
  kvm_regs regs{};
  regs.rip = at.entry;
  regs.rbx = at.start_info;
  regs.rflags = 2;
  vcpu.set_regs(regs);
}

}  // namespace

PvhEntry place_pvh(GuestMemory& memory, const std::filesystem::path& kernel,
                   const std::optional<std::filesystem::path>& initramfs,
                   const std::string& cmdline) {
  if (cmdline.size() >= kBootDataEnd - kCmdlineAt) {
    bad(fmt::format("the kernel command line has {} bytes, and may have {}", cmdline.size(),
                    kBootDataEnd - kCmdlineAt - 1));
  }
  const ImageFile file(kernel, "kernel");
  const ElfImage image = about("kernel", kernel, [&] {
    ElfImage parsed = parse_elf(file.bytes());
    load_segments(memory, parsed);
    return parsed;
  });

  StartInfo info{};
  info.magic = kStartMagic;
  info.version = 1;
  if (initramfs) {
    const ImageFile ramdisk(*initramfs, "initramfs");
    put(memory, kModuleAt, about("initramfs", *initramfs, [&] {
          return load_initramfs(memory, image, ramdisk.bytes());
        }));
    info.modules = 1;
    info.modules_at = kModuleAt;
  }
  const auto text = memory.at(GuestAddress{kCmdlineAt}, cmdline.size() + 1);
  std::memcpy(text.data(), cmdline.c_str(), cmdline.size() + 1);
  info.cmdline_at = kCmdlineAt;
  for (const MemoryMapEntry& entry : memory_map(memory)) {
    put(memory, kMemoryMapAt + info.memory_map_entries++ * sizeof(entry), entry);
  }
  info.memory_map_at = kMemoryMapAt;
  put(memory, kStartInfoAt, info);
  return {image.pvh_entry, kStartInfoAt};
}

void load_pvh(Machine& machine, const std::filesystem::path& kernel,
              const std::optional<std::filesystem::path>& initramfs, const std::string& cmdline) {
  set_entry(machine.vcpu(0), place_pvh(machine.memory(), kernel, initramfs, cmdline));
}

}  // namespace vmm
