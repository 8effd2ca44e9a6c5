#include "vmm/boot/image_kind.hpp"

#include <elf.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>

namespace vmm {

namespace {

using namespace std::string_view_literals;

/// `sign` at byte `at` says that a file is `name`.
struct Kind {
  std::size_t at;
  std::string_view sign;
  std::string_view name;
};

constexpr std::array kCompressed = {
    Kind{0, "\x1f\x8b"sv, "gzip"},        Kind{0, "\x28\xb5\x2f\xfd"sv, "zstd"},
    Kind{0, "\xfd\x37zXZ\0"sv, "xz"},     Kind{0, "\x5d\0\0"sv, "lzma"},
    Kind{0, "\x02\x21\x4c\x18"sv, "lz4"},  // as the kernel's build has it
    Kind{0, "\x04\x22\x4d\x18"sv, "lz4"}, Kind{0, "BZh"sv, "bzip2"},
    Kind{0, "\x89LZO"sv, "lzop"},
};

constexpr std::array kOthers = {
    Kind{56, "ARM\x64"sv,
         "a Linux kernel for another machine (an arm64 Image): Ferry runs x86 kernels"},
    Kind{56, "RSC\x05"sv,
         "a Linux kernel for another machine (a RISC-V Image): Ferry runs x86 kernels"},
    Kind{36, "\x18\x28\x6f\x01"sv,
         "a Linux kernel for another machine (an ARM zImage): Ferry runs x86 kernels"},
    Kind{4, "zimg"sv, "a compressed kernel for EFI firmware (zboot), of another machine than x86"},
    Kind{0, "\x27\x05\x19\x56"sv,
         "an image for the boot loader U-Boot: give the kernel that is in it"},
    Kind{0, "\xd0\x0d\xfe\xed"sv, "a device tree, or an image for the boot loader U-Boot"},
    Kind{0, "070701"sv, "an initial root file system (cpio): that is for --initramfs"},
    Kind{0, "070702"sv, "an initial root file system (cpio): that is for --initramfs"},
    Kind{0, "QFI\xfb"sv, "a disk image (qcow2), and no kernel"},
    Kind{0x8001, "CD001"sv,
         "a disk image (ISO 9660), and no kernel: give the vmlinuz that is on it"},
    Kind{0, "!<arch>\n"sv,
         "an archive (a Debian package?), and no kernel: give the vmlinuz that is in it"},
    Kind{0, "\xed\xab\xee\xdb"sv, "an RPM package, and no kernel: give the vmlinuz that is in it"},
};

constexpr std::string_view kNeither =
    "neither an ELF kernel (a vmlinux, or Ferry's own guest image) nor a bzImage (a Linux "
    "distribution's vmlinuz)";

bool has(std::span<const std::byte> file, const Kind& kind) {
  return file.size() >= kind.at + kind.sign.size() &&
         std::memcmp(file.data() + kind.at, kind.sign.data(), kind.sign.size()) == 0;
}

std::string_view as_text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// A program for EFI firmware: "MZ", and at the place that byte 60 tells "PE", then the machine.
std::string describe_pe(std::span<const std::byte> file) {
  constexpr std::size_t kPlaceAt = 60;
  constexpr std::size_t kHeaders = 4096;  // the names of its sections are in there
  constexpr std::uint16_t kAmd64 = 0x8664;
  std::uint32_t place = 0;
  std::uint16_t machine = kAmd64;
  if (file.size() >= kPlaceAt + sizeof(place)) {
    std::memcpy(&place, file.data() + kPlaceAt, sizeof(place));
    if (std::uint64_t{place} + 4 + sizeof(machine) <= file.size()) {
      std::memcpy(&machine, file.data() + place + 4, sizeof(machine));
    }
  }
  if (machine != kAmd64) {
    return fmt::format("a program for EFI firmware of another machine (0x{:x})", machine);
  }
  if (as_text(file.first(std::min(file.size(), kHeaders))).find(".linux\0"sv) !=
      std::string_view::npos) {
    return "a unified kernel image, for EFI firmware: take the kernel out of it ('objcopy -O "
           "binary "
           "--only-section=.linux IMAGE vmlinuz', and .initrd and .cmdline likewise)";
  }
  return "a program for EFI firmware, and no Linux kernel";
}

}  // namespace

std::string describe_image(std::span<const std::byte> file) {
  for (const Kind& kind : kOthers) {
    if (has(file, kind)) return std::string(kind.name);
  }
  for (const Kind& kind : kCompressed) {
    if (!has(file, kind)) continue;
    return fmt::format(
        "compressed as a whole ({}): decompress it first. A kernel that unpacks itself, a bzImage, "
        "is taken as it is",
        kind.name);
  }
  if (has(file, {0, "MZ"sv, {}})) return describe_pe(file);
  return std::string(kNeither);
}

std::string elf_machine_name(std::uint16_t machine) {
  switch (machine) {
    case EM_AARCH64: return "arm64";
    case EM_ARM: return "ARM";
    case EM_RISCV: return "RISC-V";
    case EM_PPC64: return "POWER";
    case EM_S390: return "s390";
    case EM_MIPS: return "MIPS";
    case EM_386: return "32-bit x86";
    case EM_X86_64: return "x86-64";
    default: return fmt::format("machine {}", machine);
  }
}

}  // namespace vmm
