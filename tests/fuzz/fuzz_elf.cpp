/// Feeds the ELF parser with what may be given as a kernel. Whatever is unsound must end in
/// BootError; what is accepted must keep what elf_image.hpp promises.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "vmm/boot/boot_error.hpp"
#include "vmm/boot/elf_image.hpp"

namespace {

void check(bool promise) {
  if (!promise) std::abort();
}

void check_promises(const vmm::ElfImage& image, std::span<const std::byte> file) {
  bool entry_found = false;
  std::uint64_t end = 0;
  for (const vmm::ElfSegment& segment : image.segments) {
    check(segment.size > 0 && segment.file.size() <= segment.size);
    check(segment.address.value >= end && segment.end() >= segment.address.value);
    end = segment.end();
    check(segment.file.empty() ||
          (segment.file.data() >= file.data() &&
           segment.file.data() + segment.file.size() <= file.data() + file.size()));
    entry_found |= image.pvh_entry >= segment.address.value && image.pvh_entry < segment.end();
  }
  check(entry_found);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto file = std::as_bytes(std::span(data, size));
  try {
    check_promises(vmm::parse_elf(file), file);
  } catch (const vmm::BootError&) {
    // Refused, with a reason.
  }
  return 0;
}
