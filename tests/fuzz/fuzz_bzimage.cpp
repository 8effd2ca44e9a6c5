/// Feeds the bzImage parser with what may be given as a kernel. Whatever is unsound must end in
/// BootError; what is accepted must keep what bzimage.hpp promises.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "vmm/boot/boot_error.hpp"
#include "vmm/boot/bzimage.hpp"
#include "vmm/boot/memory_map.hpp"

namespace {

void check(bool promise) {
  if (!promise) std::abort();
}

void check_promises(const vmm::BzImage& image, std::span<const std::byte> file) {
  check(!image.code.empty() && image.code.data() >= file.data() &&
        image.code.data() + image.code.size() <= file.data() + file.size());
  check(image.address >= vmm::kHighStart);
  check(image.end >= image.address + image.code.size());
  check(image.entry > image.address && image.entry < image.address + image.code.size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto file = std::as_bytes(std::span(data, size));
  try {
    check_promises(vmm::parse_bzimage(file), file);
  } catch (const vmm::BootError&) {
    // Refused, with a reason.
  }
  return 0;
}
