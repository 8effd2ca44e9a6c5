#pragma once

#include <asm/bootparam.h>

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "tests/vmm/boot/elf_builder.hpp"

namespace vmm {

/// A bzImage of a few pages, right or wrong: boot sector, `header.setup_sects` more sectors, code.
/// Fields of Linux's structures are packed, so tests compare copies of them: `+header.version`.
class BzImageBuilder {
 public:
  static constexpr std::size_t kHeaderAt = 0x1f1;
  static constexpr std::size_t kSetup = 1024;  ///< bytes that the header needs

  BzImageBuilder() : code(0x1000, std::byte{0x90}) {
    header.setup_sects = 1;
    header.syssize = 0x100;
    header.boot_flag = 0xaa55;
    header.jump = 0x6aeb;  // over a header that ends at 0x26c
    header.header = 0x53726448;
    header.version = 0x020f;
    header.loadflags = LOADED_HIGH;
    header.xloadflags = XLF_KERNEL_64;
    header.initrd_addr_max = 0x7fffffff;
    header.kernel_alignment = 0x200000;
    header.relocatable_kernel = 1;
    header.cmdline_size = 2047;
    header.pref_address = 0x1000000;
    header.init_size = 0x900000;
  }

  [[nodiscard]] Bytes build() const {
    const std::size_t code_at = std::max((header.setup_sects + std::size_t{1}) * 512, kSetup);
    Bytes file(code_at + code.size());
    std::memcpy(file.data() + kHeaderAt, &header, sizeof(header));
    std::ranges::copy(code, file.begin() + static_cast<std::ptrdiff_t>(code_at));
    return file;
  }

  setup_header header{};
  Bytes code;
};

}  // namespace vmm
