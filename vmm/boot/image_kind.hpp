#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace vmm {

/// What a file is that is neither an x86 ELF kernel nor a bzImage, and what to do about it, as far
/// as its bytes tell: for messages.
[[nodiscard]] std::string describe_image(std::span<const std::byte> file);

/// "an arm64 kernel", by the machine of an ELF file.
[[nodiscard]] std::string elf_machine_name(std::uint16_t machine);

}  // namespace vmm
