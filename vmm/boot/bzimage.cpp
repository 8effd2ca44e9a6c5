#include "vmm/boot/bzimage.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstring>

#include "vmm/boot/memory_map.hpp"

namespace vmm {

namespace {

constexpr std::size_t kHeaderAt = offsetof(boot_params, hdr);  // 0x1f1
constexpr std::size_t kBootFlagAt = kHeaderAt + offsetof(setup_header, boot_flag);
constexpr std::size_t kMagicAt = kHeaderAt + offsetof(setup_header, header);
constexpr std::uint16_t kBootFlag = 0xaa55;
constexpr std::uint32_t kMagic = 0x53726448;  // "HdrS"
constexpr std::uint16_t kOldestProtocol = 0x020c;
constexpr std::uint64_t kSector = 512;
constexpr std::uint64_t kUnit = 16;        // of `syssize`
constexpr std::uint64_t kEntry64 = 0x200;  // into the protected-mode part

template <typename Number>
Number read(std::span<const std::byte> file, std::size_t at) {
  Number value{};
  std::memcpy(&value, file.data() + at, sizeof(value));
  return value;
}

/// The header ends where its own jump over it leads to: an older kernel's is shorter.
setup_header read_header(std::span<const std::byte> file) {
  constexpr std::size_t kJumpAt = kHeaderAt + offsetof(setup_header, jump);
  const std::size_t end = kMagicAt + std::to_integer<std::size_t>(file[kJumpAt + 1]);
  setup_header header{};
  std::memcpy(&header, file.data() + kHeaderAt,
              std::min({end, file.size(), kHeaderAt + sizeof(header)}) - kHeaderAt);
  return header;
}

void check_protocol(const setup_header& header) {
  if (header.version < kOldestProtocol) {
    bad_image(
        fmt::format("it speaks version {}.{:02} of the Linux boot protocol, and Ferry needs "
                    "2.12 (Linux 3.8) or later",
                    header.version >> 8, header.version & 0xff));
  }
  if ((header.xloadflags & XLF_KERNEL_64) == 0) {
    bad_image("a Linux kernel of 32 bits (it has no 64-bit entry): Ferry boots 64-bit ones");
  }
  if ((header.loadflags & LOADED_HIGH) == 0) bad_image("a zImage, which runs in low memory");
}

/// A kernel loaded below its preferred address would move itself there: it needs that RAM anyway.
std::uint64_t load_address(const setup_header& header) {
  const std::uint64_t preferred = header.pref_address;  // a copy: the header's fields are packed
  const std::uint64_t address = std::max(preferred, kHighStart);
  if (header.relocatable_kernel == 0) {
    if (preferred < kHighStart) bad_image("it wants to run below 1 MiB");
    return address;
  }
  if (!std::has_single_bit(header.kernel_alignment) || header.kernel_alignment > 1_GiB) {
    bad_image(fmt::format("its alignment 0x{:x} is impossible", header.kernel_alignment + 0));
  }
  const std::uint64_t mask = header.kernel_alignment - 1;
  if (address > UINT64_MAX - mask) bad_image("its preferred address is impossible");
  return (address + mask) & ~mask;
}

}  // namespace

bool looks_like_bzimage(std::span<const std::byte> file) {
  return file.size() >= kMagicAt + sizeof(kMagic) &&
         read<std::uint16_t>(file, kBootFlagAt) == kBootFlag &&
         read<std::uint32_t>(file, kMagicAt) == kMagic;
}

BzImage parse_bzimage(std::span<const std::byte> file) {
  if (!looks_like_bzimage(file)) bad_image("not a bzImage");
  BzImage image;
  image.header = read_header(file);
  check_protocol(image.header);
  const unsigned setup_sectors = image.header.setup_sects == 0 ? 4 : image.header.setup_sects;
  const std::uint64_t code_at = (setup_sectors + 1) * kSector;
  // In units of 16 bytes, of which the last may not be full: the file need not be padded.
  const std::uint64_t most = std::uint64_t{image.header.syssize} * kUnit;
  const std::uint64_t code_size =
      std::min<std::uint64_t>(most, file.size() - std::min<std::uint64_t>(code_at, file.size()));
  if (most - code_size >= kUnit) {
    bad_image(
        fmt::format("the file is truncated: it has {} bytes of {}", file.size(), code_at + most));
  }
  if (code_size <= kEntry64) bad_image("it has no code at its 64-bit entry");
  image.code = file.subspan(code_at, code_size);
  image.address = load_address(image.header);
  const std::uint64_t size = std::max<std::uint64_t>(image.header.init_size, code_size);
  if (image.address > UINT64_MAX - size) bad_image("its preferred address is impossible");
  image.end = image.address + size;
  image.entry = image.address + kEntry64;
  return image;
}

}  // namespace vmm
