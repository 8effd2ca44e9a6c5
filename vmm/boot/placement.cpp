#include "vmm/boot/placement.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "vmm/boot/memory_map.hpp"

namespace vmm {

PlacedFile place_initramfs(GuestMemory& memory, const Initramfs& initramfs,
                           std::uint64_t kernel_end, std::uint64_t highest) {
  const std::uint64_t size = initramfs.size();
  const std::uint64_t ram_end = low_ram_end(memory);
  const std::uint64_t end = highest < ram_end ? highest + 1 : ram_end;
  const std::uint64_t room = end > kernel_end ? end - kernel_end : 0;
  const std::uint64_t address = size <= room ? (end - size) / kPageSize * kPageSize : 0;
  if (address < kernel_end) {
    if (end < ram_end) {
      bad_image(
          fmt::format("{} bytes do not fit between the kernel, which ends at 0x{:x}, and "
                      "0x{:x}, above which it takes none",
                      size, kernel_end, end));
    }
    bad_image(fmt::format(
        "{} bytes do not fit behind the kernel, which leaves {} of the RAM below 3 GiB: "
        "use a larger --memory or a smaller initramfs",
        size, room));
  }
  initramfs.copy(memory.at(GuestAddress{address}, size));
  return {address, size};
}

void place_cmdline(GuestMemory& memory, const std::string& cmdline, std::uint64_t most) {
  const std::uint64_t room = std::min(most, kCmdlineEnd - kCmdlineAt - 1);
  if (cmdline.size() > room) {
    bad_image(fmt::format("the kernel command line has {} bytes, and may have {}{}", cmdline.size(),
                          room, room < most ? "" : ": this kernel takes no more"));
  }
  const auto text = memory.at(GuestAddress{kCmdlineAt}, cmdline.size() + 1);
  std::memcpy(text.data(), cmdline.c_str(), cmdline.size() + 1);
}

}  // namespace vmm
