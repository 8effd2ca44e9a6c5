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
// Start info, memory map, module list and command line, in pages that no kernel is linked to.
constexpr std::uint64_t kStartInfoAt = 0x6000;
constexpr std::uint64_t kMemoryMapAt = 0x6100;
constexpr std::uint64_t kModuleAt = 0x6f00;
constexpr std::uint64_t kCmdlineAt = 0x7000;
constexpr std::uint64_t kCmdlineEnd = 0x9000;

[[noreturn]] void bad(const std::string& why) { throw BootError(BootError::Kind::bad_image, why); }

template <typename Struct>
void put(GuestMemory& memory, std::uint64_t address, const Struct& value) {
  std::memcpy(memory.at(GuestAddress{address}, sizeof(value)).data(), &value, sizeof(value));
}

std::uint64_t low_ram(const GuestMemory& memory) { return memory.slots().front().size; }

void load_segments(GuestMemory& memory, const ElfImage& image) {
  for (const ElfSegment& segment : image.segments) {
    const std::uint64_t end = segment.address.value + segment.size;
    if (segment.address.value < kHighStart) {
      bad(fmt::format("its segment at 0x{:x} lies below 1 MiB, where Ferry puts the start info",
                      segment.address.value));
    }
    if (end > low_ram(memory)) {
      bad(fmt::format("its segment at 0x{:x}+0x{:x} lies outside RAM: it needs --memory of at "
                      "least {}M, with RAM below 3 GiB",
                      segment.address.value, segment.size, (end + 1_MiB - 1) / 1_MiB));
    }
    // What follows the file's bytes is zero, as fresh RAM is: not touched.
    const auto ram = memory.at(segment.address, segment.file.size());
    std::ranges::copy(segment.file, ram.begin());
  }
}

std::uint32_t put_memory_map(GuestMemory& memory) {
  std::vector<MemoryMapEntry> map = {{0, kLowEnd, kRam, 0},
                                     {kLowEnd, kHighStart - kLowEnd, kReserved, 0},
                                     {kHighStart, low_ram(memory) - kHighStart, kRam, 0}};
  if (memory.slots().size() > 1) {
    map.push_back({memory.slots()[1].base.value, memory.slots()[1].size, kRam, 0});
  }
  for (std::size_t i = 0; i < map.size(); ++i) {
    put(memory, kMemoryMapAt + i * sizeof(MemoryMapEntry), map[i]);
  }
  return static_cast<std::uint32_t>(map.size());
}

/// As high in low RAM as it goes: out of the way of a kernel that grows from below.
std::uint64_t load_initramfs(GuestMemory& memory, const ElfImage& image,
                             std::span<const std::byte> file) {
  std::uint64_t kernel_end = kHighStart;
  for (const ElfSegment& segment : image.segments) {
    kernel_end = std::max(kernel_end, segment.address.value + segment.size);
  }
  const std::uint64_t room = low_ram(memory) - kernel_end;
  if (file.size() + kPageSize > room) {
    bad(fmt::format("initramfs of {} bytes does not fit behind the kernel: needs --memory of at "
                    "least {}M",
                    file.size(), (kernel_end + file.size() + 2_MiB) / 1_MiB));
  }
  const std::uint64_t address = (low_ram(memory) - file.size()) / kPageSize * kPageSize;
  std::ranges::copy(file, memory.at(GuestAddress{address}, file.size()).begin());
  return address;
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

/// PVH entry: 32-bit protected mode, paging off, flat segments, EBX points at the start info.
void set_entry(Vcpu& vcpu, std::uint32_t entry) {
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
  regs.rip = entry;
  regs.rbx = kStartInfoAt;
  regs.rflags = 2;
  vcpu.set_regs(regs);
}

}  // namespace

void load_pvh(Machine& machine, const std::filesystem::path& kernel,
              const std::optional<std::filesystem::path>& initramfs, const std::string& cmdline) {
  GuestMemory& memory = machine.memory();
  const ImageFile file(kernel, "kernel");
  StartInfo info{};
  info.magic = kStartMagic;
  info.version = 1;
  ElfImage image;
  try {
    image = parse_elf(file.bytes());
    load_segments(memory, image);
  } catch (const BootError& error) {
    throw BootError(error.kind(), fmt::format("kernel '{}': {}", kernel.string(), error.what()));
  }
  if (initramfs) {
    const ImageFile ramdisk(*initramfs, "initramfs");
    const std::uint64_t address = load_initramfs(memory, image, ramdisk.bytes());
    put(memory, kModuleAt, Module{address, ramdisk.bytes().size(), 0, 0});
    info.modules = 1;
    info.modules_at = kModuleAt;
  }
  if (cmdline.size() >= kCmdlineEnd - kCmdlineAt) {
    bad(fmt::format("the kernel command line has {} bytes and may have {}", cmdline.size(),
                    kCmdlineEnd - kCmdlineAt - 1));
  }
  const auto text = memory.at(GuestAddress{kCmdlineAt}, cmdline.size() + 1);
  std::memcpy(text.data(), cmdline.c_str(), cmdline.size() + 1);
  info.cmdline_at = kCmdlineAt;
  info.memory_map_at = kMemoryMapAt;
  info.memory_map_entries = put_memory_map(memory);
  put(memory, kStartInfoAt, info);
  set_entry(machine.vcpu(0), image.pvh_entry);
}

}  // namespace vmm
