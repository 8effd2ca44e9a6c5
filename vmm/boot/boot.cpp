#include "vmm/boot/boot.hpp"

#include "vmm/boot/acpi_tables.hpp"
#include "vmm/boot/image_file.hpp"
#include "vmm/boot/pvh.hpp"

namespace vmm {

BootEntry place_kernel(GuestMemory& memory, const BootSource& source, const AcpiPlatform& platform,
                       std::uint32_t cpus) {
  const ImageFile kernel(source.kernel, "kernel");
  std::optional<ImageFile> initramfs;
  if (source.initramfs) initramfs.emplace(*source.initramfs, "initramfs");
  const BootInput input{kernel, initramfs ? &*initramfs : nullptr, source.cmdline,
                        place_acpi_tables(memory, platform, cpus)};
  return place_pvh(memory, input);
}

void load_kernel(Machine& machine, const BootSource& source, const AcpiPlatform& platform) {
  set_entry(machine.vcpu(0),
            place_kernel(machine.memory(), source, platform, machine.config().cpus));
}

}  // namespace vmm
